use super::*;

fn handler_timeout() -> Vec<Output> {
    vec![Output::Closed(CloseReason::HandlerTimeout)]
}

#[test]
fn while_held_the_pong_deadline_stands_still() {
    let mut rig = Rig::websocket();
    rig.timer(300);
    rig.hold(400);

    assert_eq!(
        rig.next(),
        Some(2_400),
        "nothing but the end of our patience"
    );
    assert_eq!(rig.expires(), Some(2_400));
    assert_eq!(rig.timer(2_000), []);
}

#[test]
fn after_a_hold_the_whole_timeout_runs_again() {
    let mut rig = Rig::websocket();
    rig.timer(300);
    rig.hold(499);

    assert_eq!(rig.release(1_500), []);

    assert_eq!(rig.next(), Some(1_700));
    assert_eq!(rig.timer(1_700), timed_out());
}

#[test]
fn while_held_one_ping_goes_out_and_is_not_repeated() {
    let mut rig = Rig::websocket();
    rig.hold(100);

    assert_eq!(rig.timer(300), [Output::Ping]);
    assert_eq!(rig.timer(1_900), []);

    rig.release(1_950);
    assert_eq!(rig.next(), Some(2_150));
}

/// Control packets of a POST are looked at while a handler is busy.
#[test]
fn a_pong_while_held_counts() {
    let mut rig = Rig::polling();
    rig.timer(300);
    rig.hold(350);

    rig.current(400, PONG);

    assert_eq!(rig.next(), Some(700));
    assert_eq!(rig.timer(700), [Output::Ping]);
}

#[test]
fn a_handler_that_holds_too_long_ends_the_connection() {
    let mut rig = Rig::websocket();
    rig.hold(100);
    rig.timer(300);
    assert_eq!(rig.next(), Some(2_100));

    assert_eq!(rig.timer(2_099), []);
    assert_eq!(rig.timer(2_100), handler_timeout());
}

#[test]
fn a_release_that_comes_too_late_ends_the_connection_too() {
    let mut rig = Rig::websocket();
    rig.hold(100);
    rig.timer(300);

    assert_eq!(rig.release(2_100), handler_timeout());
}

#[test]
fn holding_again_does_not_prolong_the_hold() {
    let mut rig = Rig::websocket();
    rig.hold(100);
    rig.timer(300);

    rig.hold(1_000);

    assert_eq!(rig.next(), Some(2_100));
}

#[test]
fn a_release_without_a_hold_gives_no_more_time() {
    let mut rig = Rig::websocket();
    rig.timer(300);
    rig.hold(310);
    rig.release(320);

    rig.release(450);

    assert_eq!(rig.next(), Some(520));
}

#[test]
fn a_hold_between_pings_leaves_the_next_ping_where_it_was() {
    let mut rig = Rig::websocket();
    rig.hold(100);
    rig.release(200);

    assert_eq!(rig.next(), Some(300));
}

#[test]
fn a_hold_comes_too_late_for_a_client_that_is_gone() {
    let mut rig = Rig::websocket();
    rig.timer(300);

    assert_eq!(rig.hold(500), timed_out());
}

/// The message before the hold has had its effect: the whole timeout anew.
#[test]
fn what_was_heard_before_a_hold_extends_nothing_after_it() {
    let mut rig = Rig::websocket();
    rig.timer(300);
    assert!(rig.machine.handle_message());
    rig.hold(350);
    rig.release(400);

    assert_eq!(rig.timer(600), timed_out());
}

#[test]
fn an_upgrade_goes_on_while_held() {
    let mut rig = Rig::upgrading(50);
    rig.hold(100);

    assert_eq!(rig.probed(150, PROBE), [Output::ProbeReply, Output::Noop]);
    assert_eq!(rig.timer(250), [Output::Noop]);
    assert_eq!(rig.probed(260, Control::Upgrade), [Output::Switch]);
    rig.release(270);
    assert_eq!(rig.next(), Some(300));
}
