//! Numbered messages from clients of one node to a client of another, and what must hold for them.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::support_redis::{Client, Find, NodeProcess, until};

/// Outcomes after which a message has arrived.
const ARRIVED: [&str; 2] = ["enqueued", "written"];

/// Waits until these nodes know of all others.
pub(crate) async fn settled(nodes: &[&NodeProcess]) {
    for node in nodes {
        let mut client = node.client("nobody").await;
        until("it knows who is there", async || {
            let found = client.find("somebody", "somewhere").await.unwrap();
            (found == Find::NotFound).then_some(())
        })
        .await;
    }
}

/// A client that notes every text that is forwarded to it.
pub(crate) struct Listener {
    pub(crate) session: String,
    heard: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) fn new(mut client: Client) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let session = client.session.clone();
        let notes = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok(args) = client.heard("forward").await {
                let text = args[0].as_str().unwrap().to_owned();
                notes.lock().unwrap().push(text);
            }
        });
        Self {
            session,
            heard,
            task,
        }
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits for a text that comes after all others.
    pub(crate) async fn until_heard(&self, text: &str) {
        until(text, async || {
            let heard = self.heard.lock().unwrap();
            heard.iter().any(|heard| heard == text).then_some(())
        })
        .await;
    }

    /// Everything that was heard until the connection was closed.
    pub(crate) async fn until_closed(self) -> Vec<String> {
        let closed = tokio::time::timeout(crate::support_redis::PATIENCE, self.task).await;
        closed.expect("it is closed in time").unwrap();
        Arc::into_inner(self.heard).unwrap().into_inner().unwrap()
    }
}

/// A message's text and the name of its outcome.
pub(crate) type Outcome = (String, String);

/// Forwards one text and gives back how far it got.
pub(crate) async fn forward(
    client: &mut Client,
    account: &str,
    session: &str,
    text: &str,
) -> String {
    let args = [account, session, text];
    let outcome = client.ask("forward_ack", &args, "outcome").await.unwrap();
    outcome[0].as_str().unwrap().to_owned()
}

/// After an outcome that says that nothing was delivered, the next message waits that long.
const PAUSE: Duration = Duration::from_millis(5);

/// Sends texts `NAME:0`, `NAME:1` and so on, each when the outcome of the one before is known, until
/// so many were written.
pub(crate) async fn write_all(
    client: &mut Client,
    name: &str,
    numbers: usize,
    account: &str,
    session: &str,
) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(numbers);
    let mut written = 0;
    while written < numbers {
        let text = format!("{name}:{}", outcomes.len());
        let outcome = forward(client, account, session, &text).await;
        if outcome == "written" {
            written += 1;
        } else {
            tokio::time::sleep(PAUSE).await;
        }
        outcomes.push((text, outcome));
    }
    outcomes
}

/// Checks that nothing came twice or out of order, that what was said to have arrived did, and that
/// what was said to have failed did not; gives back how often each outcome was.
pub(crate) fn judge(outcomes: &[Outcome], heard: &[String]) -> BTreeMap<String, usize> {
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for text in heard {
        let Some((name, number)) = text.split_once(':') else {
            continue;
        };
        let number = number.parse().unwrap();
        let before = last.insert(name, number);
        assert!(
            before.is_none_or(|before| before < number),
            "{text} came after {before:?}"
        );
    }
    let heard: HashSet<&String> = heard.iter().collect();
    let mut counts = BTreeMap::new();
    for (text, outcome) in outcomes {
        let arrived = heard.contains(text);
        if ARRIVED.contains(&outcome.as_str()) {
            assert!(arrived, "{text} was {outcome} and did not arrive");
        } else if outcome != "unknown" {
            assert!(!arrived, "{text} was {outcome} and arrived");
        }
        *counts.entry(outcome.clone()).or_default() += 1;
    }
    counts
}
