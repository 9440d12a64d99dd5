//! A bare listener that answers the WebSocket handshake by hand.

use std::io;
use std::sync::Arc;

use memchr::memmem;
use primacron_rows::open_packet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::frames::{Echo, accept_key, push_text};
use crate::room::{Room, Writer};

pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    let room = Arc::new(Room::default());
    loop {
        let (stream, _) = listener.accept().await?;
        let room = Arc::clone(&room);
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &room).await {
                eprintln!("connection failed: {error}");
            }
        });
    }
}

async fn converse(mut stream: TcpStream, room: &Room) -> io::Result<()> {
    stream.set_nodelay(true)?;
    handshake(&mut stream).await?;
    let (reader, writer) = stream.into_split();
    let writer = Writer::new(writer);
    room.join(&writer);
    let ended = Echo::new(tokio::io::join(reader, writer.clone()), Some(room))
        .run()
        .await;
    room.leave(&writer);
    ended
}

async fn handshake(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {}\r\n\r\n",
        accept_key(key(&head)?)
    )
    .into_bytes();
    push_text(open_packet(0).as_bytes(), &mut answer);
    stream.write_all(&answer).await
}

fn key(head: &[u8]) -> io::Result<&[u8]> {
    const NAME: &[u8] = b"Sec-WebSocket-Key: ";
    let missing = || io::Error::other("no WebSocket key");
    let start = memmem::find(head, NAME).ok_or_else(missing)? + NAME.len();
    let length = memmem::find(&head[start..], b"\r\n").ok_or_else(missing)?;
    Ok(&head[start..start + length])
}
