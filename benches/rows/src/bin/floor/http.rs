//! hyper alone for the polling row: a POST stores a message, a GET waits for it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use primacron_rows::open_packet;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// The sessions; a session's id is its index.
type Sessions = Arc<Mutex<Vec<Arc<Session>>>>;

pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    let sessions = Sessions::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let sessions = Arc::clone(&sessions);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &sessions));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                eprintln!("connection failed: {error}");
            }
        });
    }
}

#[derive(Default)]
struct Session {
    waiting: Mutex<VecDeque<Bytes>>,
    stored: Notify,
}

impl Session {
    fn store(&self, message: Bytes) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(message);
        self.stored.notify_one();
    }

    async fn take(&self) -> Bytes {
        loop {
            if let Some(message) = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front()
            {
                return message;
            }
            self.stored.notified().await;
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    sessions: &Sessions,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = match (find(&request, sessions), request.method() == Method::POST) {
        (None, _) => open(sessions).into(),
        (Some(session), true) => {
            session.store(request.into_body().collect().await?.to_bytes());
            Bytes::from_static(b"ok")
        }
        (Some(session), false) => session.take().await,
    };
    let mut response = Response::new(Full::new(body));
    let text = HeaderValue::from_static("text/plain; charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    Ok(response)
}

fn find(request: &Request<Incoming>, sessions: &Sessions) -> Option<Arc<Session>> {
    let (_, sid) = request.uri().query()?.rsplit_once("sid=")?;
    let sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
    sessions.get(sid.parse::<usize>().ok()?).cloned()
}

fn open(sessions: &Sessions) -> String {
    let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
    sessions.push(Arc::default());
    open_packet(sessions.len() - 1)
}
