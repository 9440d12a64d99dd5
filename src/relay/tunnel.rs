use std::time::Duration;

use futures_util::future::{Either, select, try_join};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split},
    time::timeout,
};

/// Carries bytes between a client and a node, both ways, until one of them is through, the other
/// has had `patience` to get there too, or until `end`.
pub(super) async fn tunnel(
    client: OnUpgrade,
    node: OnUpgrade,
    patience: Duration,
    end: impl Future<Output = ()>,
) {
    let Ok(Ok((client, node))) = timeout(patience, try_join(client, node)).await else {
        return;
    };
    let (from_client, to_client) = split(TokioIo::new(client));
    let (from_node, to_node) = split(TokioIo::new(node));
    let both = async {
        let there = std::pin::pin!(carry(from_client, to_node));
        let back = std::pin::pin!(carry(from_node, to_client));
        // A side that vanished never says that it is through.
        match select(there, back).await {
            Either::Left(((), back)) => drop(timeout(patience, back).await),
            Either::Right(((), there)) => drop(timeout(patience, there).await),
        }
    };
    tokio::select! {
        () = both => {}
        () = end => {}
    }
}

/// How it ended is nobody's business.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    drop(copy(&mut from, &mut to).await);
    drop(to.shutdown().await);
}
