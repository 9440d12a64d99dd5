//! A Unix socket in place of a port.

use tokio::net::{UnixListener, UnixStream};

use crate::{
    app,
    client::{Http, assert_it_serves},
    layer,
};

#[tokio::test]
async fn a_unix_socket_serves() {
    let folder = std::env::temp_dir().join(format!("primacron-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let app = app().layer(layer());
    tokio::spawn(async move { ::axum::serve(listener, app).await.unwrap() });

    assert_it_serves(async || UnixStream::connect(&path).await, "").await;
    let mut http = Http::one(UnixStream::connect(&path).await.unwrap()).await;
    assert_eq!(http.get("/").await.2, "inner");
    std::fs::remove_dir_all(&folder).unwrap();
}
