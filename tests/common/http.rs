//! A client of HTTP/1.1 that sends what it is told to, be it right or wrong.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Server, within};

/// Who has not moved for so long is held back on purpose. A slow machine may look the same; what a
/// test says then must hold for it too.
const STUCK: Duration = Duration::from_secs(1);

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Http {
    pub(crate) async fn connect(server: &Server) -> Self {
        let stream = within(TcpStream::connect(server.address)).await;
        Self::over(stream.expect("the server listens"))
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a setting of every system");
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = within(self.stream.write_all(bytes.as_ref())).await;
        sent.expect("the server reads");
    }

    /// Sends bytes that the server may refuse to read.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        within(self.stream.write_all(bytes)).await.is_ok()
    }

    /// Sends until the server has taken nothing for a while.
    pub(crate) async fn send_unless_stuck(&mut self, bytes: &[u8]) -> bool {
        let sent = tokio::time::timeout(STUCK, self.stream.write_all(bytes)).await;
        matches!(sent, Ok(Ok(())))
    }

    /// The answer, unless there is none for a while.
    pub(crate) async fn answer_unless_stuck(&mut self) -> Option<Answer> {
        let ready = tokio::time::timeout(STUCK, self.stream.fill_buf()).await;
        ready.ok()?.expect("the server answers");
        Some(self.answer().await)
    }

    /// The next answer on this connection.
    pub(crate) async fn answer(&mut self) -> Answer {
        within(self.try_answer()).await.expect("the server answers")
    }

    /// The status of an answer that has no body, whatever its headers say.
    pub(crate) async fn status_alone(&mut self) -> u16 {
        let mut head = String::new();
        let read = within(self.stream.read_to_string(&mut head)).await;
        read.expect("the server answers and closes");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        let body = Vec::new();
        Answer { head, body }.status()
    }

    async fn try_answer(&mut self) -> std::io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let mut answer = Answer {
            head,
            body: Vec::new(),
        };
        if answer.status() != 101 {
            answer.body = self.read_body(&answer).await?;
        }
        Ok(answer)
    }

    async fn read_body(&mut self, answer: &Answer) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if let Some(length) = answer.header("content-length") {
            body.resize(length.parse().expect("a length"), 0);
            self.stream.read_exact(&mut body).await?;
            return Ok(body);
        }
        assert!(
            answer.header("transfer-encoding").is_none(),
            "every answer knows its length"
        );
        self.stream.read_to_end(&mut body).await?;
        Ok(body)
    }

    /// Whether the server closes without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        within(self.stream.read(&mut byte))
            .await
            .map_or(true, |read| read == 0)
    }
}

/// An answer of the server.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        let status = self.head.split(' ').nth(1);
        status
            .and_then(|status| status.parse().ok())
            .expect("a status line")
    }

    /// The value of a header that is there at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .filter(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value);
        let first = found.next();
        assert_eq!(found.next(), None, "{name} is given twice");
        first
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("a body of text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }

    /// Checks status and text.
    #[track_caller]
    pub(crate) fn assert(&self, status: u16, text: &str) {
        assert_eq!((self.status(), self.text()), (status, text));
    }

    /// Checks that it is an error of Engine.IO: status, code, and the shape of the body.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: u8) {
        assert_eq!(
            self.status(),
            status,
            "{:?}",
            String::from_utf8_lossy(&self.body)
        );
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert!(body["message"].is_string(), "{body}");
        assert_eq!(
            body.as_object().map(serde_json::Map::len),
            Some(2),
            "{body}"
        );
    }

    /// Checks that it opens a connection.
    #[track_caller]
    pub(crate) fn assert_open(&self) {
        assert!(self.open_packet()["sid"].is_string());
    }

    /// The content of an open packet, alone in the body or the first of several.
    #[track_caller]
    pub(crate) fn open_packet(&self) -> Value {
        assert_eq!(
            self.status(),
            200,
            "{:?}",
            String::from_utf8_lossy(&self.body)
        );
        let packet = self.text().split(super::RS).next().unwrap_or_default();
        let content = packet.strip_prefix('0').expect("an open packet");
        serde_json::from_str(content).expect("an open packet")
    }
}

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// To the endpoint, as the account `ann`.
    pub(crate) fn to_stream(method: &'static str, query: &str) -> Self {
        Self::new(method, format!("/stream/?account=ann&{query}"))
    }

    /// A handshake on polling.
    pub(crate) fn handshake() -> Self {
        Self::to_stream("GET", "EIO=4&transport=polling")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    /// The whole request as it goes over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            bytes.push_str("host: localhost\r\n");
        }
        for (name, value) in &self.headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            bytes.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        let mut bytes = (bytes + "\r\n").into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }

    /// Sends it over a connection of its own, which is given back to be asked for the answer.
    pub(crate) async fn begin(&self, server: &Server) -> Http {
        let mut http = Http::connect(server).await;
        http.send(self.bytes()).await;
        http
    }

    pub(crate) async fn send(&self, server: &Server) -> Answer {
        self.begin(server).await.answer().await
    }
}

/// A client on polling, with the account `ann`.
#[derive(Clone, Debug)]
pub(crate) struct Poller {
    pub(crate) sid: String,
}

impl Poller {
    pub(crate) async fn open(server: &Server) -> Self {
        let answer = Request::handshake().send(server).await;
        Self::of(&answer)
    }

    pub(crate) fn of(handshake: &Answer) -> Self {
        let open = handshake.open_packet();
        Self {
            sid: open["sid"].as_str().expect("a socket id").to_owned(),
        }
    }

    /// A request of this client, to be changed or sent.
    pub(crate) fn request(&self, method: &'static str) -> Request {
        let query = format!("EIO=4&transport=polling&sid={}", self.sid);
        Request::to_stream(method, &query)
    }

    /// Sends a GET, whose answer may take its time.
    pub(crate) async fn begin_poll(&self, server: &Server) -> Http {
        self.request("GET").begin(server).await
    }

    /// A GET that is inside the server when this is ready.
    pub(crate) async fn hold_poll(&self, server: &Server) -> Http {
        let poll = self.begin_poll(server).await;
        server.until_waiting(1).await;
        poll
    }

    pub(crate) async fn poll(&self, server: &Server) -> Answer {
        self.begin_poll(server).await.answer().await
    }

    pub(crate) async fn post(&self, server: &Server, body: impl AsRef<[u8]>) -> Answer {
        self.request("POST").body(body).send(server).await
    }

    /// The packets of as many GETs as it takes to get so many.
    pub(crate) async fn packets(&self, server: &Server, count: usize) -> Vec<String> {
        let mut packets = Vec::new();
        while packets.len() < count {
            let answer = self.poll(server).await;
            assert_eq!(answer.status(), 200, "{answer:?}");
            packets.extend(answer.text().split(super::RS).map(str::to_owned));
        }
        packets
    }

    /// Checks that the connection works.
    pub(crate) async fn assert_alive(&self, server: &Server) {
        self.post(server, "4alive?").await.assert(200, "ok");
        loop {
            let packets = self.packets(server, 1).await;
            if packets.contains(&"4alive?".to_owned()) {
                return;
            }
            assert!(packets.iter().all(|packet| packet == "6"), "{packets:?}");
        }
    }

    /// Checks that the server knows nothing of the connection any more.
    pub(crate) async fn assert_gone(&self, server: &Server) {
        self.poll(server).await.assert_error(400, 1);
    }
}
