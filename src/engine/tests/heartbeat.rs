use super::*;

#[test]
fn the_first_ping_comes_one_interval_after_the_handshake() {
    let mut rig = Rig::polling();
    assert_eq!(rig.next(), Some(300));

    assert_eq!(rig.timer(299), []);
    assert_eq!(rig.timer(300), [Output::Ping]);

    assert_eq!(rig.next(), Some(500));
}

/// T16, T18.
#[test]
fn each_ping_comes_one_interval_after_the_last_pong() {
    for mut rig in [Rig::polling(), Rig::websocket()] {
        for round in 0..3 {
            let ping = 300 + round * 310;
            assert_eq!(rig.timer(ping), [Output::Ping]);
            assert_eq!(rig.current(ping + 10, PONG), []);
        }
        assert_eq!(rig.next(), Some(3 * 310 + 300));
    }
}

/// T17, T19, E38: the deadline is interval and timeout after the handshake, to
/// the instant, on any transport and whether or not a poll is pending.
#[test]
fn a_silent_client_is_closed_at_interval_plus_timeout() {
    for mut rig in [Rig::polling(), Rig::websocket()] {
        assert_eq!(rig.timer(300), [Output::Ping]);
        assert_eq!(rig.expires(), Some(500));

        let before = rig.at(500) - Duration::from_nanos(1);
        rig.machine.handle_timeout(before, &rig.timing);
        assert_eq!(rig.drain(), []);

        assert_eq!(rig.timer(500), timed_out());
    }
}

#[test]
fn timers_that_fire_a_little_late_do_not_move_the_deadline() {
    let mut rig = Rig::polling();

    assert_eq!(rig.timer(325), [Output::Ping]);

    assert_eq!(rig.next(), Some(500));
}

#[test]
fn after_a_stall_the_client_has_the_whole_timeout() {
    let mut rig = Rig::polling();

    assert_eq!(rig.timer(326), [Output::Ping]);

    assert_eq!(rig.next(), Some(526));
}

#[test]
fn waking_up_many_intervals_late_sends_one_ping() {
    let mut rig = Rig::polling();

    assert_eq!(rig.timer(10_000), [Output::Ping]);

    assert_eq!(rig.next(), Some(10_200));
    assert_eq!(rig.timer(10_000), []);
}

/// E50, E45.
#[test]
fn a_pong_without_a_ping_changes_nothing() {
    let mut rig = Rig::polling();

    assert_eq!(rig.current(100, PONG), []);
    assert_eq!(rig.next(), Some(300));

    rig.timer(300);
    rig.current(310, PONG);
    assert_eq!(rig.current(400, PONG), [], "the second one for one ping");
    assert_eq!(rig.next(), Some(610));
}

/// E51.
#[test]
fn a_late_pong_is_no_resurrection() {
    let mut rig = Rig::polling();
    rig.timer(300);

    assert_eq!(rig.current(500, PONG), timed_out());
    assert_eq!(rig.current(501, PONG), []);
    assert_eq!(rig.next(), None);
}

#[test]
fn a_pong_in_time_counts_though_the_timer_of_its_deadline_is_late() {
    let mut rig = Rig::polling();
    rig.timer(300);

    assert_eq!(rig.current(499, PONG), []);
    assert_eq!(rig.timer(600), []);
    assert_eq!(rig.next(), Some(799));
}

/// E53.
#[test]
fn the_deadline_stands_though_nobody_could_write_the_ping() {
    let mut rig = Rig::websocket();
    let (ping, pong) = (rig.at(300), rig.at(500));

    rig.machine.handle_timeout(ping, &rig.timing);
    rig.machine.handle_timeout(pong, &rig.timing);

    assert_eq!(
        rig.drain(),
        timed_out(),
        "and the ping is not sent any more"
    );
}

/// E54.
#[test]
fn a_message_while_the_pong_is_due_extends_the_deadline_once() {
    let mut rig = Rig::polling();
    rig.timer(300);

    assert!(rig.machine.handle_message());
    assert_eq!(rig.expires(), None, "it cannot end before it was extended");
    assert_eq!(rig.timer(500), []);
    assert_eq!(rig.next(), Some(700));
    assert_eq!(rig.expires(), Some(700));

    assert!(rig.machine.handle_message());
    assert_eq!(rig.timer(700), timed_out());
}

#[test]
fn any_packet_is_a_sign_of_life() {
    let mut probing = Rig::upgrading(290);
    probing.timer(300);
    probing.probed(310, PROBE);
    assert_eq!(probing.expires(), None);

    for packet in [Control::Open, Control::Upgrade, Control::Noop] {
        let mut rig = Rig::polling();
        rig.timer(300);
        rig.current(310, packet);
        assert_eq!(rig.expires(), None);
    }
}

#[test]
fn a_message_before_the_ping_extends_nothing() {
    let mut rig = Rig::polling();

    assert!(rig.machine.handle_message());
    rig.timer(300);

    assert_eq!(rig.timer(500), timed_out());
}

#[test]
fn each_ping_may_be_extended() {
    let mut rig = Rig::polling();
    rig.timer(300);
    assert!(rig.machine.handle_message());
    rig.timer(500);
    rig.current(600, PONG);
    assert_eq!(rig.timer(900), [Output::Ping]);

    assert!(rig.machine.handle_message());

    assert_eq!(rig.timer(1_100), []);
    assert_eq!(rig.timer(1_300), timed_out());
}

/// E43, E44.
#[test]
fn a_ping_of_the_client_closes() {
    for probe in [false, true] {
        for mut rig in [Rig::polling(), Rig::websocket()] {
            let outputs = rig.current(10, Control::Ping { probe });

            assert_eq!(outputs, wrong_direction());
            assert_eq!(rig.next(), None);
        }
    }
}

/// E52.
#[test]
fn an_upgrade_neither_stops_nor_restarts_the_heartbeat() {
    let mut rig = Rig::upgrading(200);
    assert_eq!(rig.timer(300), [Output::Ping], "during the upgrade");
    rig.current(310, PONG);

    assert_eq!(rig.probed(320, Control::Upgrade), [Output::Switch]);
    assert_eq!(rig.next(), Some(610), "as if there had been no upgrade");

    assert_eq!(rig.timer(610), [Output::Ping], "after the upgrade");
    assert_eq!(rig.next(), Some(810));
}

#[test]
fn settings_without_end_overflow_no_clock() {
    let mut rig = Rig::polling();
    rig.timing.ping_interval = Duration::MAX;
    rig.timing.ping_timeout = Duration::MAX;
    rig.timing.upgrade_timeout = Duration::MAX;
    rig.timing.hold_timeout = Duration::MAX;

    rig.timer(300);
    rig.hold(301);
    rig.candidate(302).unwrap();
    rig.current(303, PONG);

    assert!(rig.machine.is_open());
}

#[test]
fn a_timeout_of_nothing_closes_with_the_ping() {
    let mut rig = Rig::polling();
    rig.timing.ping_timeout = Duration::ZERO;

    assert!(rig.machine.handle_message());

    assert_eq!(rig.timer(300), timed_out());
}
