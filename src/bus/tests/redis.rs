//! The bus on real servers, which are emptied, killed, stalled and failed over.

#[path = "../../../tests/support_redis/mod.rs"]
pub(super) mod support_redis;

use std::{collections::HashSet, sync::Arc, time::Duration};

use deadpool_redis::redis::Value;
use tokio::time::{sleep, timeout};

use self::support_redis::{Redis, Reply, until};
use super::cast::{Diary, Fates, LONG, Node, begin, say};
use crate::{
    bus::{
        Answer, Bus, Deliver, Outcome, Refused, Unreached,
        inboxes::{Appended, Failed, Inboxes},
    },
    config::Settings,
    notice::Noticeboard,
    redis::{IntoRedis, Link, Script},
};

const ENQUEUED: Answer = Answer::Forward(Outcome::Enqueued);

type Result = std::result::Result<Answer, Unreached>;

fn node(redis: impl IntoRedis, name: &str) -> Node {
    node_with(redis, name, |_| {}, Diary::default())
}

fn node_with(
    redis: impl IntoRedis,
    name: &str,
    set: impl FnOnce(&mut Settings),
    diary: Diary,
) -> Node {
    let notices = Noticeboard::new();
    let mut settings = Settings::new(notices.clone());
    settings.presence.lease = Duration::from_millis(100);
    set(&mut settings);
    let redis = redis.into_redis().unwrap();
    let pair = Bus::in_redis(redis, name, &settings, Fates::default().lives());
    begin(pair, &notices, diary)
}

pub(super) async fn two(url: &str) -> (Node, Node) {
    let (mut a, mut b) = (node(url, "a"), node(url, "b"));
    a.notice("bus::online").await;
    b.notice("bus::online").await;
    (a, b)
}

/// Asks until it is heard: both have found each other again.
async fn until_reached(from: &Node, to: &str) {
    until("the other node is reached", async || {
        let answer = from.bus.ask(to, &say("there?"), LONG).await;
        (answer == Ok(ENQUEUED)).then_some(())
    })
    .await;
}

/// Numbered calls, some under way at any time, while something happens; what became of each.
async fn storm(from: &Node, to: &str, trouble: impl Future<Output = ()>) -> Vec<Result> {
    let asks = async {
        let mut answers = Vec::new();
        for number in 0..1000 {
            let answer = from.bus.ask(to, &say(&number.to_string()), LONG);
            answers.push(tokio::spawn(answer));
            if number % 5 == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        }
        let mut results = Vec::new();
        for answer in answers {
            results.push(answer.await.unwrap());
        }
        results
    };
    let trouble = async {
        sleep(Duration::from_millis(300)).await;
        trouble.await;
    };
    tokio::join!(asks, trouble).0
}

/// None twice, none out of order, none that is said to have arrived missing, none that is said not
/// to have arrived there; how many are unknown.
#[track_caller]
fn assert_honest(results: &[Result], heard: &[String]) -> usize {
    let heard = heard.iter().filter(|text| *text != "there?");
    let heard: Vec<usize> = heard.map(|text| text.parse().unwrap()).collect();
    assert!(heard.is_sorted_by(|one, next| one < next), "{heard:?}");
    let heard: HashSet<usize> = heard.into_iter().collect();
    for (number, result) in results.iter().enumerate() {
        match result {
            Ok(_) => assert!(heard.contains(&number), "{number} is missing"),
            Err(Unreached::Unknown) => {}
            Err(other) => assert!(!heard.contains(&number), "{number}: {other}"),
        }
    }
    results
        .iter()
        .filter(|result| **result == Err(Unreached::Unknown))
        .count()
}

#[tokio::test]
async fn calls_and_answers_go_both_ways() {
    let redis = Redis::start().await;
    let (a, b) = two(&redis.url()).await;

    let (there, back) = tokio::join!(
        a.bus.ask("b", &say("to b"), LONG),
        b.bus.ask("a", &say("to a"), LONG)
    );

    assert_eq!((there, back), (Ok(ENQUEUED), Ok(ENQUEUED)));
    assert_eq!(b.diary.texts(), ["to b"]);
    assert_eq!(a.diary.texts(), ["to a"]);
}

#[tokio::test]
async fn what_is_sent_at_one_moment_is_one_entry() {
    let redis = Redis::start().await;
    let (a, b) = two(&redis.url()).await;
    until_reached(&a, "b").await;
    let before = appended(&redis).await;

    let asks: Vec<_> = (0..100)
        .map(|number| a.bus.ask("b", &say(&number.to_string()), LONG))
        .collect();
    for ask in asks {
        assert_eq!(ask.await, Ok(ENQUEUED));
    }

    // The calls, and the answers.
    assert_eq!(appended(&redis).await - before, 2);
    assert_eq!(b.diary.texts().len(), 101);
}

async fn appended(redis: &Redis) -> u64 {
    let stats = redis.info("commandstats").await;
    let calls = stats["cmdstat_xadd"].split([',', '=']).nth(1);
    calls.unwrap().parse().unwrap()
}

#[tokio::test]
async fn nothing_that_was_read_stays_in_redis_and_nothing_at_all_after_the_end() {
    let redis = Redis::start().await;
    let (a, b) = two(&redis.url()).await;
    for number in 0..20 {
        let answer = a.bus.ask("b", &say(&number.to_string()), LONG).await;
        assert_eq!(answer, Ok(ENQUEUED));
    }

    until("the inboxes are empty", async || {
        let [one, other] = ["a", "b"].map(|name| format!("XLEN {{primacron:b:{name}}}:in"));
        let empty = redis.run(&one).await == Reply::Integer(0);
        (empty && redis.run(&other).await == Reply::Integer(0)).then_some(())
    })
    .await;
    let counted = redis.run("HMGET {primacron:b:b}:count put read").await;
    let [put, read] = counted.array() else {
        panic!("{counted:?}");
    };
    assert_eq!(put, read);

    a.bus.finish().await;
    b.bus.finish().await;
    assert_eq!(redis.keys().await, [""; 0]);
}

#[tokio::test]
async fn an_emptied_redis_costs_what_was_in_it_and_the_outcomes_say_so() {
    let redis = Redis::start().await;
    let (a, b) = two(&redis.url()).await;

    let results = storm(&a, "b", redis.flush()).await;

    let unknown = assert_honest(&results, &b.diary.texts());
    eprintln!("{unknown} unknown");
    assert_eq!(results.last(), Some(&Ok(ENQUEUED)));
}

#[tokio::test]
async fn a_killed_redis_costs_what_was_in_it_and_the_outcomes_say_so() {
    let mut redis = Redis::start().await;
    let (mut a, b) = two(&redis.url()).await;

    let results = storm(&a, "b", async {
        redis.kill();
        sleep(Duration::from_millis(500)).await;
        redis.restart().await;
    })
    .await;

    let unknown = assert_honest(&results, &b.diary.texts());
    eprintln!("{unknown} unknown");
    assert_eq!(results.last(), Some(&Ok(ENQUEUED)));
    a.notice("bus::offline").await;
    a.notice("bus::online").await;
}

#[tokio::test]
async fn a_stalled_redis_costs_nothing() {
    let redis = Redis::start().await;
    let (a, b) = two(&redis.url()).await;

    // Longer than a call waits: it is made again, and both reach Redis.
    let results = storm(&a, "b", async {
        redis.stop();
        sleep(Duration::from_millis(2500)).await;
        redis.cont();
    })
    .await;

    assert_eq!(assert_honest(&results, &b.diary.texts()), 0);
    assert_eq!(results, vec![Ok(ENQUEUED); results.len()]);
}

#[tokio::test]
async fn without_redis_calls_are_refused_at_their_deadline() {
    let mut redis = Redis::start().await;
    let (mut a, b) = two(&redis.url()).await;
    until_reached(&a, "b").await;
    redis.kill();
    a.notice("bus::offline").await;
    // The first may have left when the connection broke.
    let soon = Duration::from_millis(300);
    let _ = a.bus.ask("b", &say("x"), soon).await;

    let answer = a.bus.ask("b", &say("y"), soon).await;

    assert!(!a.bus.is_online());
    let refused = Err(Unreached::Refused(Refused::BusOffline));
    assert!([refused, Err(Unreached::Unknown)].contains(&answer));
    redis.restart().await;
    until_reached(&a, "b").await;
    assert!(answer != refused || !b.diary.texts().contains(&"y".to_owned()));
}

#[tokio::test]
async fn an_inbox_that_is_full_in_bytes_refuses() {
    let redis = Redis::start().await;
    let mut a = node(&*redis.url(), "a");
    let small = |settings: &mut Settings| settings.bus.inbox_bytes = 10_000;
    let mut b = node_with(&*redis.url(), "b", small, Diary::default());
    b.notice("bus::online").await;
    b.task.abort();
    drop((&mut b.task).await);

    let large = say(&"x".repeat(6000));
    let first = tokio::spawn(a.bus.ask("b", &large, Duration::from_millis(500)));
    sleep(Duration::from_millis(200)).await;
    let second = a.bus.ask("b", &large, LONG).await;

    assert_eq!(second, Err(Unreached::Refused(Refused::InboxFull)));
    assert_eq!(first.await.unwrap(), Err(Unreached::Unknown));
    a.notice("bus::full").await;
    let waiting = redis.run("XLEN {primacron:b:b}:in").await;
    assert!(waiting.integer() <= 2, "the hello and the first");
}

#[tokio::test]
async fn an_inbox_that_is_full_in_entries_refuses() {
    let redis = Redis::start().await;
    let a = node(&*redis.url(), "a");
    let mut settings = Settings::new(Noticeboard::new());
    // The hello that it begins with is one of them, until somebody reads it.
    settings.bus.inbox_entries = 2;
    let b = crate::bus::redis::open(redis.url().into_redis().unwrap(), "b", &settings);
    b.renew().await.unwrap();

    let first = a.bus.ask("b", &say("x"), Duration::from_millis(500)).await;
    let second = a.bus.ask("b", &say("y"), LONG).await;

    assert_eq!(first, Err(Unreached::Unknown));
    assert_eq!(second, Err(Unreached::Refused(Refused::InboxFull)));
    let waiting = redis.run("XLEN {primacron:b:b}:in").await;
    assert_eq!(waiting.integer(), 2);
}

#[tokio::test]
async fn an_inbox_goes_away_by_itself_some_time_after_its_node() {
    let redis = Redis::start().await;
    let (_a, _b) = two(&redis.url()).await;
    for name in ["in", "count"] {
        let left = redis.run(&format!("PTTL {{primacron:b:b}}:{name}")).await;
        assert!((1..=64_000).contains(&left.integer()), "{name}");
    }
}

#[tokio::test]
async fn what_strangers_put_into_an_inbox_is_told_and_skipped() {
    let redis = Redis::start().await;
    let (a, mut b) = two(&redis.url()).await;

    for field in ["e garbage", "x y", "e a e b"] {
        let add = format!("XADD {{primacron:b:b}}:in * {field}");
        redis.run(&add).await;
    }
    for _ in 0..3 {
        b.notice("bus::invalid").await;
    }
    until_reached(&a, "b").await;

    // Not even something else in its place stops the reader for long.
    redis.run("SET {primacron:b:b}:in garbage").await;
    until_reached(&a, "b").await;
}

#[tokio::test]
async fn a_node_that_ends_answers_what_is_left() {
    let redis = Redis::start().await;
    let a = node(&*redis.url(), "a");
    let settings = Settings::new(Noticeboard::new());
    let pool = redis.url().into_redis().unwrap();
    let lives = Fates::default().lives();
    let inbox = crate::bus::redis::open(pool.clone(), "b", &settings);
    inbox.renew().await.unwrap();
    let (bus, task) = Bus::in_redis(pool, "b", &settings, lives);

    let answer = tokio::spawn(a.bus.ask("b", &say("x"), LONG));
    until("it is in the inbox", async || {
        let waiting = redis.run("XLEN {primacron:b:b}:in").await;
        (waiting == Reply::Integer(2)).then_some(())
    })
    .await;
    let diary = Arc::new(Diary::default());
    let run = task.run(Arc::clone(&diary) as Arc<dyn Deliver>);
    tokio::join!(bus.finish(), run);

    let closing = Err(Unreached::Refused(Refused::Closing));
    assert_eq!(answer.await.unwrap(), closing);
    assert_eq!(diary.texts(), [""; 0]);
}

#[tokio::test]
async fn an_entry_that_redis_refuses_is_not_there_and_not_counted() {
    let redis = Redis::start().await;
    let settings = Settings::new(Noticeboard::new());
    let inbox = crate::bus::redis::open(redis.url().into_redis().unwrap(), "b", &settings);
    inbox.renew().await.unwrap();
    let refused = async || {
        let appended = inbox.append("b", "x".into()).await;
        assert!(matches!(appended, Err(Failed::Surely(_))), "{appended:?}");
        let waiting = redis.run("XLEN {primacron:b:b}:in").await;
        assert_eq!(waiting, Reply::Integer(1), "the hello alone");
    };

    let most = i64::MAX;
    let count = format!("HSET {{primacron:b:b}}:count put {most} read {most}");
    redis.run(&count).await;
    refused().await;

    redis.run("HSET {primacron:b:b}:count put 5 read 5").await;
    let last = format!("XSETID {{primacron:b:b}}:in {0}-{0}", u64::MAX);
    redis.run(&last).await;
    refused().await;
    let put = redis.run("HINCRBY {primacron:b:b}:count put 0").await;
    assert_eq!(put, Reply::Integer(5));
}

fn inbox(redis: &Redis) -> Arc<dyn Inboxes> {
    let settings = Settings::new(Noticeboard::new());
    crate::bus::redis::open(redis.url().into_redis().unwrap(), "b", &settings)
}

#[tokio::test]
async fn who_has_no_inbox_gets_none_by_what_is_sent_there() {
    let redis = Redis::start().await;
    let inbox = inbox(&redis);
    let gone = inbox.append("b", "x".into()).await;
    assert!(matches!(gone, Ok(Appended::Gone)), "{gone:?}");
    assert_eq!(redis.keys().await, [""; 0]);

    // Half of one is none.
    inbox.renew().await.unwrap();
    redis.run("DEL {primacron:b:b}:in").await;
    let gone = inbox.append("b", "x".into()).await;
    assert!(matches!(gone, Ok(Appended::Gone)), "{gone:?}");
    assert_eq!(redis.keys().await, ["{primacron:b:b}:count"]);
    let put = redis.run("HINCRBY {primacron:b:b}:count put 0").await;
    assert_eq!(put, Reply::Integer(0));
}

#[tokio::test]
async fn an_inbox_that_strangers_broke_is_made_anew() {
    let redis = Redis::start().await;
    let inbox = inbox(&redis);
    inbox.renew().await.unwrap();
    for breaks in [
        "HDEL {primacron:b:b}:count read",
        "HDEL {primacron:b:b}:count token",
        "SET {primacron:b:b}:count garbage",
        "SET {primacron:b:b}:in garbage",
    ] {
        redis.run(breaks).await;
        inbox.renew().await.unwrap();
        let appended = inbox.append("b", "x".into()).await;
        assert!(matches!(appended, Ok(Appended::Done)), "{breaks}");
        let waiting = redis.run("XLEN {primacron:b:b}:in").await;
        assert_eq!(waiting, Reply::Integer(2), "{breaks}");
    }
}

#[tokio::test]
async fn what_was_read_is_not_left_over_at_the_end() {
    let redis = Redis::start().await;
    let inbox = inbox(&redis);
    inbox.renew().await.unwrap();
    inbox.append("b", "read".into()).await.unwrap();
    while inbox.read().await.unwrap() != ["read"] {}
    inbox.append("b", "left".into()).await.unwrap();

    assert_eq!(inbox.close().await.unwrap(), ["left"]);
    assert_eq!(redis.keys().await, [""; 0]);
}

#[tokio::test]
async fn after_a_read_that_failed_the_next_one_makes_sure_that_the_inbox_is_there() {
    let mut redis = Redis::start().await;
    let inbox = inbox(&redis);
    inbox.renew().await.unwrap();
    inbox.append("b", "x".into()).await.unwrap();
    while inbox.read().await.unwrap() != ["x"] {}
    redis.kill();
    inbox.read().await.unwrap_err();
    redis.restart().await;

    until("it reads again", async || inbox.read().await.ok()).await;

    let there = ["{primacron:b:b}:count", "{primacron:b:b}:in"];
    let mut keys = redis.keys().await;
    keys.sort_unstable();
    assert_eq!(keys, there);
}

#[tokio::test]
async fn a_read_that_was_given_up_leaves_no_inbox_behind() {
    let redis = Redis::start().await;
    let settings = Settings::new(Noticeboard::new());
    let inbox = crate::bus::redis::open(redis.url().into_redis().unwrap(), "b", &settings);
    // From now on Redis knows how to close one.
    inbox.close().await.unwrap();
    inbox.renew().await.unwrap();
    // The last of them hears nothing: the next one asks whether the inbox is there.
    for _ in 0..3 {
        inbox.read().await.unwrap();
    }

    redis.stop();
    let soon = Duration::from_millis(100);
    let mut close = inbox.close();
    assert!(timeout(soon, &mut close).await.is_err());
    assert!(timeout(soon, inbox.read()).await.is_err());
    redis.cont();

    assert!(close.await.unwrap().is_empty());
    assert_eq!(redis.keys().await, [""; 0]);
}

#[tokio::test]
async fn what_was_done_before_a_script_was_sent_in_full_keeps_its_first_answer() {
    let redis = Redis::start().await;
    let set = Script::new("return redis.call('GETSET', KEYS[1], ARGV[1]) or ''");
    let unknown = Script::new("return 7");
    let pool = redis.url().into_redis().unwrap();
    let scripts = vec![set.clone(), unknown.clone()];
    let link = Link::new(pool, scripts, Duration::from_secs(5));
    let call = |value: &str| {
        let mut call = set.on(&["key".to_owned()]);
        call.arg(value);
        call
    };
    link.call(call("old")).await.unwrap();

    let results = link.call_all(vec![call("new"), unknown.on(&[])]).await;

    let results: Vec<Value> = results
        .unwrap()
        .into_iter()
        .map(|one| one.unwrap())
        .collect();
    assert_eq!(results, [Value::BulkString(b"old".to_vec()), Value::Int(7)]);
}

#[cfg(feature = "redis-cluster")]
mod cluster {
    use super::{support_redis::RedisCluster, *};

    fn urls(cluster: &RedisCluster) -> Vec<String> {
        cluster.url().split(',').map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn on_a_cluster_nodes_reach_each_other_wherever_their_inboxes_are() {
        let cluster = RedisCluster::start().await;
        let nodes: Vec<Node> = (0..6)
            .map(|number| node(urls(&cluster), &number.to_string()))
            .collect();
        let mut ready = nodes;
        for node in &mut ready {
            node.notice("bus::online").await;
        }
        for (from, node) in ready.iter().enumerate() {
            for to in (0..6).filter(|to| *to != from) {
                let answer = node.bus.ask(&to.to_string(), &say("x"), LONG).await;
                assert_eq!(answer, Ok(ENQUEUED), "from {from} to {to}");
            }
        }
        for node in &ready {
            node.bus.finish().await;
        }
        assert_eq!(cluster.keys().await, [""; 0]);
    }

    #[tokio::test]
    async fn a_cluster_that_is_emptied_costs_what_was_in_it() {
        let cluster = RedisCluster::start().await;
        let (mut a, mut b) = (node(urls(&cluster), "a"), node(urls(&cluster), "b"));
        a.notice("bus::online").await;
        b.notice("bus::online").await;

        let results = storm(&a, "b", cluster.flush()).await;

        let unknown = assert_honest(&results, &b.diary.texts());
        eprintln!("{unknown} unknown");
        assert_eq!(results.last(), Some(&Ok(ENQUEUED)));
    }

    #[tokio::test]
    async fn a_master_that_stalls_costs_nothing() {
        let cluster = RedisCluster::start().await;
        let (mut a, mut b) = (node(urls(&cluster), "a"), node(urls(&cluster), "b"));
        a.notice("bus::online").await;
        b.notice("bus::online").await;
        let master = cluster.master_of("{primacron:b:b}:in").await;

        let results = storm(&a, "b", async {
            cluster.masters[master].stop();
            sleep(Duration::from_millis(1500)).await;
            cluster.masters[master].cont();
        })
        .await;

        assert_honest(&results, &b.diary.texts());
        until_reached(&a, "b").await;
        until_reached(&b, "a").await;
    }
}

#[cfg(feature = "redis-sentinel")]
mod sentinel {
    use deadpool_redis::sentinel::{Config, SentinelServerType};

    use super::{support_redis::RedisSentinel, *};

    fn config(sentinel: &RedisSentinel) -> Config {
        Config::from_urls(
            vec![sentinel.url()],
            RedisSentinel::NAME.to_owned(),
            SentinelServerType::Master,
        )
    }

    #[tokio::test]
    async fn a_failover_costs_what_had_not_been_copied() {
        let mut sentinel = RedisSentinel::start().await;
        let mut a = node(config(&sentinel), "a");
        let mut b = node(config(&sentinel), "b");
        a.notice("bus::online").await;
        b.notice("bus::online").await;

        let results = storm(&a, "b", async {
            sentinel.master.kill();
            sentinel.until_failed_over().await;
        })
        .await;

        let unknown = assert_honest(&results, &b.diary.texts());
        eprintln!("{unknown} unknown");
        until_reached(&a, "b").await;
        until_reached(&b, "a").await;
    }
}
