//! A keep-alive HTTP/1.1 connection, no more than the polling row needs.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection, one request at a time.
pub(crate) struct Http {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Http {
    pub(crate) async fn connect(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            answer: Vec::new(),
        })
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(request).await?)
    }

    /// Waits for the answer, which has to be 200, and gives its body.
    pub(crate) async fn body(&mut self) -> Result<&[u8]> {
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await?;
            ensure!(read > 0, "the server closed a connection");
            let Some(end) = memmem::find(&self.answer, b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(&self.answer[..end])?;
            ensure!(
                head.starts_with("HTTP/1.1 200 "),
                "{}",
                self.answer.escape_ascii()
            );
            let length = content_length(head)?;
            let missing = (end + 4 + length).checked_sub(self.answer.len());
            match missing.context("more than one answer")? {
                0 => return Ok(&self.answer[end + 4..]),
                _ => continue,
            }
        }
    }
}

fn content_length(head: &str) -> Result<usize> {
    for line in head.split("\r\n") {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok(value.trim().parse()?);
        }
    }
    bail!("an answer without a length: {head}")
}
