//! The floor: tokio sockets that move the bytes of a row and do nothing else.

mod frames;
mod http;
mod room;
mod upgrade;
mod ws;

use std::io;

use primacron_rows::{Flags, listen, run};

fn main() -> io::Result<()> {
    let flags = Flags::from_env()?;
    run(
        flags.threads,
        serve(flags.port, flags.kind.unwrap_or_default()),
    )
}

async fn serve(port: u16, kind: String) -> io::Result<()> {
    let missing = || io::Error::new(io::ErrorKind::InvalidInput, "--kind is ws, upgrade or http");
    match kind.as_str() {
        "ws" => ws::serve(listen(port).await?).await,
        "upgrade" => upgrade::serve(listen(port).await?).await,
        "http" => http::serve(listen(port).await?).await,
        _ => Err(missing()),
    }
}
