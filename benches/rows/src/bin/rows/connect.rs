//! Row connect: connect, upgrade, open packet, close, and again.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use crate::load::{self, Clients, Progress};
use crate::row::Sample;
use crate::server::Server;
use crate::websocket::Socket;

/// Connections under way at a time.
const AT_A_TIME: usize = 16;

pub(crate) async fn measure(server: &Server, time: Duration) -> Result<Sample> {
    let progress = Rc::new(Progress::default());
    let mut clients = Clients::new();
    for _ in 0..AT_A_TIME {
        let (address, progress) = (server.address, Rc::clone(&progress));
        clients.spawn_local(async move {
            while progress.goes_on() {
                Socket::open(address).await?.close().await?;
                progress.count();
            }
            Ok(())
        });
    }
    load::measure(&[server], time, clients, &progress).await
}
