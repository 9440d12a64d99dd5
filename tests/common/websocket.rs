//! A WebSocket client that writes its frames byte by byte.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::{Answer, BINARY, Http, Request, Server, TEXT, within};

/// The key of the example in RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What answers it.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The key of every mask.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A websocket.
#[derive(Debug)]
pub(crate) struct Ws {
    http: Http,
}

/// What the server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    /// The server said goodbye, with this code.
    Close(Option<u16>),
    /// The stream ended.
    End,
}

/// A request to become a websocket, as the account `ann`.
pub(crate) fn upgrade_request(query: &str) -> Request {
    Request::to_stream("GET", query)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", KEY)
}

/// A masked frame.
pub(crate) fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![opcode | if fin { 0x80 } else { 0 }];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

impl Ws {
    /// A connection that begins as a websocket; its open packet is still to be read.
    pub(crate) async fn connect(server: &Server) -> Self {
        Self::with(server, "EIO=4&transport=websocket").await
    }

    /// A connection that begins as a websocket, its open packet read.
    pub(crate) async fn open(server: &Server) -> Self {
        let mut ws = Self::connect(server).await;
        let open = ws.text().await;
        assert!(open.starts_with("0{"), "{open}");
        ws
    }

    /// A websocket that wants to take over from polling.
    pub(crate) async fn candidate(server: &Server, sid: &str) -> Self {
        Self::with(server, &format!("EIO=4&transport=websocket&sid={sid}")).await
    }

    /// A candidate that was probed.
    pub(crate) async fn probed(server: &Server, sid: &str) -> Self {
        let mut ws = Self::candidate(server, sid).await;
        ws.send("2probe").await;
        assert_eq!(ws.text().await, "3probe");
        ws
    }

    /// The same once the server has noticed that the candidate before it is gone.
    pub(crate) async fn probed_at_last(server: &Server, sid: &str) -> Self {
        within(async {
            loop {
                let mut ws = Self::candidate(server, sid).await;
                if ws.try_bytes(&frame(true, TEXT, b"2probe")).await
                    && ws.next().await == Frame::Text("3probe".to_owned())
                {
                    return ws;
                }
            }
        })
        .await
    }

    async fn with(server: &Server, query: &str) -> Self {
        Self::ask(server, &upgrade_request(query))
            .await
            .expect("101")
    }

    /// Sends a request to become a websocket.
    pub(crate) async fn ask(server: &Server, request: &Request) -> Result<Self, Answer> {
        Self::accepted(request.begin(server).await).await
    }

    /// An open connection whose kernel takes hardly a byte that it does not read.
    pub(crate) async fn narrow(server: &Server) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_recv_buffer_size(4096)
            .expect("a setting of every system");
        let stream = within(socket.connect(server.address))
            .await
            .expect("the server listens");
        let mut http = Http::over(stream);
        http.send(upgrade_request("EIO=4&transport=websocket").bytes())
            .await;
        let mut ws = Self::accepted(http).await.expect("101");
        assert!(ws.text().await.starts_with("0{"));
        ws
    }

    /// Reads the answer to an upgrade that was sent.
    pub(crate) async fn accepted(mut http: Http) -> Result<Self, Answer> {
        let answer = http.answer().await;
        if answer.status() != 101 {
            return Err(answer);
        }
        assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
        assert_eq!(answer.header("sec-websocket-extensions"), None);
        Ok(Self { http })
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.bytes(&frame(true, TEXT, text.as_bytes())).await;
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        self.bytes(&frame(true, BINARY, bytes)).await;
    }

    /// Bytes as they are.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        self.http.send(bytes).await;
    }

    /// Bytes that the server may refuse to read.
    pub(crate) async fn try_bytes(&mut self, bytes: &[u8]) -> bool {
        within(self.http.stream.write_all(bytes)).await.is_ok()
    }

    /// Bytes, unless the server takes none for a while. What was begun is lost then.
    pub(crate) async fn bytes_unless_stuck(&mut self, bytes: &[u8]) -> bool {
        self.http.send_unless_stuck(bytes).await
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Frame {
        within(self.read()).await.unwrap_or(Frame::End)
    }

    /// The next frame, which is text.
    #[track_caller]
    pub(crate) fn text(&mut self) -> impl Future<Output = String> {
        let place = std::panic::Location::caller();
        async move {
            match self.next().await {
                Frame::Text(text) => text,
                other => panic!("{place}: not text: {other:?}"),
            }
        }
    }

    /// The frames up to the end of the stream, and the code of the close frame among them.
    pub(crate) async fn closed(&mut self) -> (Vec<Frame>, Option<u16>) {
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Frame::Close(code) => {
                    assert_eq!(self.next().await, Frame::End, "after the close frame");
                    return (before, code);
                }
                Frame::End => return (before, None),
                other => before.push(other),
            }
        }
    }

    /// Checks that the server closes with a code, and says nothing before.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self, code: u16) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let closed = self.closed().await;
            assert_eq!(closed, (Vec::new(), Some(code)), "{place}");
        }
    }

    /// Checks that the connection works.
    pub(crate) async fn assert_alive(&mut self) {
        self.send("4alive?").await;
        assert_eq!(self.text().await, "4alive?");
    }

    /// Vanishes without a word.
    pub(crate) fn reset(self) {
        let stream = self.http.stream.into_inner();
        stream.set_zero_linger().expect("a setting of every system");
    }

    async fn read(&mut self) -> std::io::Result<Frame> {
        let stream = &mut self.http.stream;
        let first = stream.read_u8().await?;
        assert_eq!(first & 0xF0, 0x80, "whole messages, no reserved bits");
        let length = match stream.read_u8().await? {
            126 => stream.read_u16().await?.into(),
            127 => stream.read_u64().await?,
            short @ 0..=125 => short.into(),
            _ => panic!("a server masks nothing"),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a length of this machine")];
        stream.read_exact(&mut payload).await?;
        Ok(match first & 0x0F {
            TEXT => Frame::Text(String::from_utf8(payload).expect("text is UTF-8")),
            BINARY => Frame::Binary(payload),
            8 => Frame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            10 => Frame::Pong(payload),
            opcode => panic!("a server has no reason to send opcode {opcode}"),
        })
    }
}
