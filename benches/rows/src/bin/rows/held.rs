//! Row held: connect, open packet, stay for a while, close, and again, on two nodes by turns.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::load::{Clients, Progress, WARM_UP, hold};
use crate::pair::{Pair, PairMeter};
use crate::row::Sample;
use crate::websocket::Socket;

/// Connections under way at a time.
const AT_A_TIME: usize = 64;

/// How long each of them stays.
const STAY: Duration = Duration::from_millis(50);

pub(crate) async fn measure(pair: &Pair, time: Duration) -> Result<Sample> {
    let progress = Rc::new(Progress::default());
    let mut clients = Clients::new();
    for number in 0..AT_A_TIME {
        let (address, progress) = (pair.nodes[number % 2].address, Rc::clone(&progress));
        clients.spawn_local(async move {
            while progress.goes_on() {
                let socket = Socket::open(address).await?;
                sleep(STAY).await;
                socket.close().await?;
                progress.count();
            }
            Ok(())
        });
    }
    hold(&mut clients, WARM_UP).await?;
    let meter = PairMeter::start(pair)?;
    let before = progress.done();
    hold(&mut clients, time).await?;
    let sample = meter.stop(progress.done() - before)?;
    progress.end();
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(sample)
}
