//! A server without a framework: stray requests, the script for browsers, and the end.

use std::{convert::Infallible, io, time::Duration};

use primacron::{Args, Cloned, Message, PrimacronLayer, Reply, Serve, User};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use tower::util::BoxCloneSyncService;

type Handler = BoxCloneSyncService<Message, Reply, Infallible>;
type Layer = PrimacronLayer<Cloned<Handler>>;
type Running = Serve<Cloned<Handler>>;

const DEADLINE: Duration = Duration::from_secs(10);
const HANDSHAKE: &str = "/stream/?EIO=4&transport=polling&account=ann";

#[tokio::test]
async fn a_stray_request_is_refused_with_json() {
    let server = Server::start(|serve| serve).await;

    for path in ["/", "/streams/", "/stream/primacron.js", "/stream/x"] {
        let answer = server.ask("GET", path, "").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            answer.contains("content-type: application/json\r\n"),
            "{answer}"
        );
        let json: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
        assert_eq!(
            (&json["status"], &json["type"]),
            (&400.into(), &"bad request".into())
        );
        assert!(json["description"].is_string());
    }
}

#[tokio::test]
async fn a_stray_request_is_sent_where_the_server_says() {
    let server = Server::start(|serve| serve.redirect("https://example.com/app")).await;

    let answer = server.ask("POST", "/elsewhere?x=1", "").await;

    assert!(answer.starts_with("HTTP/1.1 301 "), "{answer}");
    assert!(
        answer.contains("location: https://example.com/app\r\n"),
        "{answer}"
    );
    assert_eq!(body(&answer), "");
    assert!(
        server
            .ask("GET", HANDSHAKE, "")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
#[should_panic(expected = "redirect must be a URL")]
async fn what_cannot_be_a_header_is_no_redirect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();

    drop(primacron::serve(listener, layer()).redirect("https://example.com/\r\nx: y"));
}

#[tokio::test]
async fn the_endpoint_speaks_engine_io() {
    let server = Server::start(|serve| serve).await;

    let sid = server.open().await;
    let post = format!("{HANDSHAKE}&sid={sid}");
    let posted = server
        .ask("POST", &post, r#"4{"event":"echo","args":["x"],"id":1}"#)
        .await;
    let heard = server.ask("GET", &post, "").await;

    assert_eq!(body(&posted), "ok");
    assert_eq!(body(&heard), r#"4{"id":1,"args":["x"]}"#);
}

#[tokio::test]
async fn a_head_of_the_script_has_its_length_and_no_body() {
    let server = Server::with(layer().serve_client(true), |serve| serve).await;

    let get = server.ask("GET", "/stream/primacron.js", "").await;
    let head = server.ask("HEAD", "/stream/primacron.js", "").await;

    let length = format!("content-length: {}\r\n", body(&get).len());
    assert!(body(&get).contains("export function connect"));
    assert!(get.contains(&length) && head.contains(&length), "{head}");
    assert_eq!(body(&head), "");
}

#[tokio::test]
async fn a_server_that_ends_tells_its_clients_first() {
    let (end, ended) = oneshot::channel::<()>();
    let server =
        Server::start(|serve| serve.with_graceful_shutdown(async { drop(ended.await) })).await;
    let sid = server.open().await;
    let idle = TcpStream::connect(&server.address).await.unwrap();
    let path = format!("{HANDSHAKE}&sid={sid}");
    let poll = server.ask("GET", &path, "");

    end.send(()).unwrap();

    assert_eq!(body(&poll.await), "1");
    timeout(DEADLINE, server.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        TcpStream::connect(&server.address).await.is_err(),
        "nobody listens"
    );
    drop(idle);
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_end() {
    let (end, ended) = oneshot::channel::<()>();
    let window = Duration::from_millis(50);
    let server = Server::start(|serve| {
        serve
            .with_graceful_shutdown(async { drop(ended.await) })
            .drain_window(window)
    });
    let server = server.await;
    let sid = server.open().await;
    let mut stuck = TcpStream::connect(&server.address).await.unwrap();
    let head =
        format!("POST {HANDSHAKE}&sid={sid} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n4");
    stuck.write_all(head.as_bytes()).await.unwrap();

    end.send(()).unwrap();

    timeout(DEADLINE, server.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

struct Server {
    address: String,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(configure: impl FnOnce(Running) -> Running) -> Self {
        Self::with(layer(), configure).await
    }

    async fn with(layer: Layer, configure: impl FnOnce(Running) -> Running) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("the listener is bound");
        let address = address.to_string();
        let serve = configure(primacron::serve(listener, layer));
        let task = tokio::spawn(serve.into_future());
        Self { address, task }
    }

    /// Sends a request on a connection of its own; gives the whole answer.
    async fn ask(&self, method: &str, path: &str, text: &str) -> String {
        let ask = async {
            let mut stream = TcpStream::connect(&self.address).await?;
            let length = text.len();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}"
            );
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            io::Result::Ok(answer)
        };
        let answer = timeout(DEADLINE, ask).await.expect("an answer in time");
        answer.expect("an answer in UTF-8")
    }

    /// Opens a connection on polling; gives its socket id.
    async fn open(&self) -> String {
        let answer = self.ask("GET", HANDSHAKE, "").await;
        let open: serde_json::Value =
            serde_json::from_str(&body(&answer)[1..]).expect("an open packet");
        open["sid"].as_str().expect("a socket id").to_owned()
    }
}

fn layer() -> Layer {
    let echo = |message: Message| async move { Ok(Reply::args(message.args().clone())) };
    PrimacronLayer::in_memory()
        .validate("echo", |args: &Args, _: &User| args.len() == 1)
        .service(BoxCloneSyncService::new(tower::service_fn(echo)))
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
