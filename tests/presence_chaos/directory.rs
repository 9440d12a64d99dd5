//! What is in the directory while nothing goes wrong.

use tokio::time::Instant;

use crate::cast::watch;
use crate::support_redis::{Client, Find, NodeProcess, Redis, until};

#[tokio::test]
async fn who_saw_the_open_packet_is_findable() {
    let redis = Redis::start().await;
    let home = NodeProcess::start(&redis.url(), "open").await;
    let other = NodeProcess::start(&redis.url(), "open").await;
    other.until_presence("synced").await;
    home.until_presence("synced").await;
    let mut observer = other.client("observer").await;
    // A lease that the other node never saw move is nobody's yet.
    let first = home.client("first").await;
    let met = watch(&other, &first).await;
    met.until(Instant::now(), Find::is_found).await;

    let mut clients = Vec::new();
    for number in 0..200 {
        let account = format!("account-{}", number % 50);
        let client = home.client(&account).await;
        let find = observer.find(&account, &client.session).await.unwrap();
        assert_eq!(find, Find::Found(home.id.clone()), "session {number}");
        clients.push(client);
    }
    let sessions = observer.sessions("account-7").await.unwrap();
    assert_eq!(sessions, sessions_of(&clients, "account-7"));
}

#[tokio::test]
async fn who_left_is_not_found() {
    let redis = Redis::start().await;
    let home = NodeProcess::start(&redis.url(), "left").await;
    let other = NodeProcess::start(&redis.url(), "left").await;
    home.until_presence("synced").await;
    other.until_presence("synced").await;
    let client = home.client("ann").await;
    let watch = watch(&other, &client).await;
    let start = Instant::now();
    watch.until(start, Find::is_found).await;

    drop(client);

    let left = Instant::now();
    watch.until(left, |find| *find == Find::NotFound).await;
    let mut observer = other.client("observer").await;
    assert!(observer.sessions("ann").await.unwrap().is_empty());
    until("nothing of the account is left in Redis", async || {
        let keys = redis.keys().await;
        (!keys.iter().any(|key| key.contains("ann"))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_drains_takes_its_sessions_along_at_once() {
    let redis = Redis::start().await;
    let mut home = NodeProcess::start(&redis.url(), "drain").await;
    let other = NodeProcess::start(&redis.url(), "drain").await;
    home.until_presence("synced").await;
    other.until_presence("synced").await;
    let client = home.client("ann").await;
    let watch = watch(&other, &client).await;
    let start = Instant::now();
    watch.until(start, Find::is_found).await;

    assert!(home.terminate().await.success());

    let ended = Instant::now();
    let gone = watch.until(ended, |find| *find == Find::NotFound).await;
    let took = gone.answered - ended;
    println!("not_found {took:?} after the end of a drained node");
    assert!(took.as_millis() <= 1_000, "{took:?}");
}

#[tokio::test]
async fn accounts_and_sessions_never_collide() {
    let redis = Redis::start().await;
    let home = NodeProcess::start(&redis.url(), "collide").await;
    let other = NodeProcess::start(&redis.url(), "collide").await;
    home.until_presence("synced").await;
    other.until_presence("synced").await;
    let mut observer = other.client("observer").await;

    let mut clients = Vec::new();
    for account in accounts() {
        clients.push(home.client(&account).await);
    }
    for client in &clients {
        let (account, session) = (&client.account, &client.session);
        until(&format!("{account:?} is found"), async || {
            let find = observer.find(account, session).await.expect("an answer");
            assert_ne!(find, Find::NotFound, "{account:?}");
            find.is_found().then_some(())
        })
        .await;
        let sessions = observer.sessions(account).await.unwrap();
        assert_eq!(sessions, [session.as_str()], "{account:?}");
    }
    for client in clients.iter().step_by(7) {
        for (account, session) in lookalikes(&client.account, &client.session) {
            // Nodes that started a moment ago may not know yet that nobody else is there.
            until("nobody is there", async || {
                let find = observer.find(&account, &session).await.unwrap();
                assert!(!find.is_found(), "{account:?} {session:?}");
                (find == Find::NotFound).then_some(())
            })
            .await;
        }
    }
}

/// One of every allowed ASCII byte alone and in braces, and what others stumbled over.
fn accounts() -> Vec<String> {
    let mut accounts: Vec<String> = (' '..='~')
        .flat_map(|byte| [byte.to_string(), format!("{{{byte}}}"), format!("x{byte}x")])
        .collect();
    let odd = [
        "a::b",
        "a:",
        "::",
        "{}",
        "}{",
        "{{a}}",
        "%00",
        "%",
        "\u{1F600}",
        "\u{E9}",
        "e\u{301}",
    ];
    accounts.extend(odd.map(str::to_owned));
    accounts.push("\u{1F600}".repeat(64));
    accounts.push("l".repeat(256));
    accounts.sort_unstable();
    accounts.dedup();
    accounts
}

/// The same text, divided at another place or written another way.
fn lookalikes(account: &str, session: &str) -> Vec<(String, String)> {
    let mut lookalikes = Vec::new();
    for separator in [":", "::", "/", "|", "\u{0}", " "] {
        lookalikes.push((account.to_owned(), format!("{separator}{session}")));
        if let Some((front, back)) = account.split_once(separator) {
            lookalikes.push((front.to_owned(), format!("{back}{separator}{session}")));
        }
        let (front, back) = session.split_at(session.len() / 2);
        lookalikes.push((format!("{account}{separator}{front}"), back.to_owned()));
    }
    lookalikes.push((format!("{{{account}}}"), session.to_owned()));
    lookalikes.push((account.to_owned(), "*".to_owned()));
    lookalikes.retain(|(account, _)| !account.is_empty() && account.len() <= 256);
    lookalikes
}

fn sessions_of(clients: &[Client], account: &str) -> Vec<String> {
    let own = clients.iter().filter(|client| client.account == account);
    let mut sessions: Vec<String> = own.map(|client| client.session.clone()).collect();
    sessions.sort_unstable();
    sessions
}
