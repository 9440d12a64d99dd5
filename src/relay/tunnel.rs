use std::{future::pending, pin::pin, time::Duration};

use futures_util::future::{Either, select, try_join};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    time::timeout,
};

/// Bytes that are carried at once.
const PIECE: usize = 8 * 1024;

/// How long a tunnel waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For both ends to be there, and for one to be through when the other one is.
    pub(crate) ends: Duration,
    /// For a piece to be taken, and for a word of the node until it is asked whether that is gone.
    pub(crate) silence: Duration,
}

/// The two ends of a tunnel.
pub(super) struct Sides<C, N> {
    pub(super) client: C,
    pub(super) node: N,
}

/// Carries bytes between a client and a node, both ways, until one of them is through, or takes
/// nothing any more, and the other has had time to get there too; or until the node is silent and
/// gone.
///
/// At its `turn` it takes nothing more from the client, so that the node says goodbye. It cannot do
/// so itself: it knows nothing of frames, and may be in the middle of one.
pub(super) async fn tunnel(
    sides: Sides<OnUpgrade, OnUpgrade>,
    patience: Patience,
    is_gone: impl Fn() -> bool,
    turn: impl Future<Output = ()>,
) {
    let upgraded = try_join(sides.client, sides.node);
    if let Ok(Ok((client, node))) = timeout(patience.ends, upgraded).await {
        let (client, node) = (TokioIo::new(client), TokioIo::new(node));
        connect(Sides { client, node }, patience, is_gone, turn).await;
    }
}

async fn connect(
    sides: Sides<impl AsyncRead + AsyncWrite, impl AsyncRead + AsyncWrite>,
    patience: Patience,
    is_gone: impl Fn() -> bool,
    turn: impl Future<Output = ()>,
) {
    let (from_client, to_client) = split(sides.client);
    let (from_node, to_node) = split(sides.node);
    let silence = patience.silence;
    // A client may be as silent as it likes: that is its node's business.
    let there = pin!(carry(from_client, to_node, silence, || false, turn));
    let back = pin!(carry(from_node, to_client, silence, is_gone, pending()));
    // A side that vanished never says that it is through.
    match select(there, back).await {
        Either::Left(((), back)) => drop(timeout(patience.ends, back).await),
        Either::Right(((), there)) => drop(timeout(patience.ends, there).await),
    }
}

/// Carries one way; how it ended is nobody's business.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    patience: Duration,
    is_gone: impl Fn() -> bool,
    stop: impl Future<Output = ()>,
) {
    let mut stop = pin!(stop);
    let mut buffer = vec![0; PIECE];
    loop {
        let read = tokio::select! {
            () = &mut stop => break,
            read = timeout(patience, from.read(&mut buffer)) => read,
        };
        match read {
            Err(_) if is_gone() => break,
            Err(_) => {}
            Ok(Err(_) | Ok(0)) => break,
            Ok(Ok(size)) => {
                let given = async {
                    to.write_all(&buffer[..size]).await?;
                    to.flush().await
                };
                if !matches!(timeout(patience, given).await, Ok(Ok(()))) {
                    break;
                }
            }
        }
    }
    drop(timeout(patience, to.shutdown()).await);
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const PATIENCE: Patience = Patience {
        ends: Duration::from_secs(10),
        silence: Duration::from_secs(45),
    };

    /// A client and a node with room for so many bytes in between, and the two ends of the tunnel.
    fn ends(
        room: usize,
    ) -> (
        DuplexStream,
        DuplexStream,
        Sides<DuplexStream, DuplexStream>,
    ) {
        let (client, client_side) = duplex(room);
        let (node, node_side) = duplex(room);
        let sides = Sides {
            client: client_side,
            node: node_side,
        };
        (client, node, sides)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_keeps_no_tunnel_to_a_node_that_is_through() {
        let (client, mut node, sides) = ends(16);
        let tunnel = tokio::spawn(connect(sides, PATIENCE, || false, pending()));
        node.write_all(&[0; 40]).await.unwrap();
        drop(node);
        tunnel.await.unwrap();
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_node_is_given_up_when_it_is_gone() {
        let (mut client, node, sides) = ends(16);
        let start = tokio::time::Instant::now();
        let asked = std::cell::Cell::new(0);
        let is_gone = || {
            asked.set(asked.get() + 1);
            asked.get() == 3
        };
        connect(sides, PATIENCE, is_gone, pending()).await;
        assert_eq!(start.elapsed(), 3 * PATIENCE.silence + PATIENCE.ends);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        drop(node);
    }

    #[tokio::test(start_paused = true)]
    async fn at_its_turn_a_tunnel_delivers_what_it_has_and_no_more() {
        let (mut client, mut node, sides) = ends(16);
        let (turn, turned) = tokio::sync::oneshot::channel::<()>();
        let turned = async { drop(turned.await) };
        let tunnel = tokio::spawn(connect(sides, PATIENCE, || false, turned));
        client.write_all(&[1; 16]).await.unwrap();
        // What the node does not take is on its way in the tunnel.
        client.write_all(&[2; 16]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(turn);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut came = Vec::new();
        node.read_to_end(&mut came).await.unwrap();
        assert_eq!(came, [[1; 16], [2; 16]].concat());
        node.write_all(b"bye").await.unwrap();
        drop(node);
        let mut bye = Vec::new();
        client.read_to_end(&mut bye).await.unwrap();
        assert_eq!(bye, b"bye");
        tunnel.await.unwrap();
    }
}
