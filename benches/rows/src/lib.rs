//! What the servers of this package share: flags, runtime, ready line and open packet.

use std::fmt::Display;
use std::io;

use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// Largest message that a server takes, in bytes.
pub const MAX_PAYLOAD: usize = 1_000_000;

/// The command line of a server.
#[derive(Debug, Default)]
pub struct Flags {
    /// `--port N`; 0 lets the system choose.
    pub port: u16,
    /// `--threads N`: workers of the runtime, 0 for a current-thread runtime.
    pub threads: Option<usize>,
    /// `--kind NAME`.
    pub kind: Option<String>,
    /// `--redis URL`.
    pub redis: Option<String>,
}

impl Flags {
    /// Reads the command line of this process.
    ///
    /// # Errors
    ///
    /// Names the flag that is unknown or whose value is missing or unusable.
    pub fn from_env() -> io::Result<Self> {
        let mut flags = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            let value = words.next().ok_or_else(|| unusable(&flag))?;
            match flag.as_str() {
                "--port" => flags.port = value.parse().map_err(|_| unusable(&flag))?,
                "--threads" => flags.threads = Some(value.parse().map_err(|_| unusable(&flag))?),
                "--kind" => flags.kind = Some(value),
                "--redis" => flags.redis = Some(value),
                _ => return Err(unusable(&flag)),
            }
        }
        Ok(flags)
    }
}

/// Runs a server: on tokio's default runtime unless a number of threads was asked for.
///
/// # Errors
///
/// Passes on what the server ended with.
pub fn run(threads: Option<usize>, server: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let mut builder = match threads {
        Some(0) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if let Some(threads) = threads.filter(|threads| *threads > 0) {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()?.block_on(server)
}

/// Listens on the loopback address and prints the ready line.
///
/// # Errors
///
/// Fails when the port cannot be had.
pub async fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(listener)
}

/// The Engine.IO open packet of a connection.
pub fn open_packet(sid: impl Display) -> String {
    format!(
        r#"0{{"sid":"{sid}","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":{MAX_PAYLOAD}}}"#
    )
}

fn unusable(flag: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{flag} is unknown or its value is unusable"),
    )
}
