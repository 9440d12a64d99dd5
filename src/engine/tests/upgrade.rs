use super::*;

const REPLY: [Output; 2] = [Output::ProbeReply, Output::Noop];

/// T22.
#[test]
fn probe_and_upgrade_make_the_candidate_the_transport() {
    let mut rig = Rig::upgrading(10);
    assert!(rig.machine.is_upgrading());
    assert_eq!(rig.machine.transport(), Transport::Polling);

    assert_eq!(rig.probed(20, PROBE), REPLY);
    assert_eq!(rig.probed(30, Control::Upgrade), [Output::Switch]);

    assert!(!rig.machine.is_upgrading());
    assert_eq!(rig.machine.transport(), Transport::WebSocket);
    assert!(rig.machine.handle_message(), "now from the websocket");
    assert_eq!(rig.next(), Some(300), "only the heartbeat is left");
}

#[test]
fn every_probe_is_answered() {
    let mut rig = Rig::upgrading(10);

    for at in [20, 30, 40] {
        assert_eq!(rig.probed(at, PROBE), REPLY);
    }
}

#[test]
fn an_upgrade_without_a_probe_is_accepted() {
    let mut rig = Rig::upgrading(10);

    assert_eq!(rig.probed(20, Control::Upgrade), [Output::Switch]);
}

/// E62.
#[test]
fn pending_polls_are_ended_every_100_ms_from_the_probe_to_the_switch() {
    let mut rig = Rig::upgrading(10);
    assert_eq!(rig.timer(19), [], "not before the probe");
    rig.probed(20, PROBE);

    assert_eq!(rig.next(), Some(120));
    assert_eq!(rig.timer(119), []);
    assert_eq!(rig.timer(120), [Output::Noop]);
    assert_eq!(rig.timer(220), [Output::Noop]);

    rig.probed(230, Control::Upgrade);
    assert_eq!(rig.timer(299), []);
}

#[test]
fn waking_up_late_ends_a_poll_once() {
    let mut rig = Rig::upgrading(10);
    rig.probed(20, PROBE);

    assert_eq!(rig.timer(299), [Output::Noop]);
    assert_eq!(rig.next(), Some(300), "the ping, then the poll at 399");
    rig.timer(300);
    assert_eq!(rig.next(), Some(399));
}

/// E60, T24.
#[test]
fn a_second_candidate_is_refused_and_the_first_goes_on() {
    let mut rig = Rig::upgrading(10);
    rig.probed(20, PROBE);

    assert_eq!(rig.candidate(30), Err(Refused::Upgrading));
    assert_eq!(rig.drain(), []);

    assert_eq!(rig.probed(40, Control::Upgrade), [Output::Switch]);
    assert_eq!(rig.candidate(50), Err(Refused::OnWebSocket));
}

/// E67.
#[test]
fn a_direct_websocket_cannot_be_upgraded() {
    let mut rig = Rig::websocket();

    assert_eq!(rig.candidate(10), Err(Refused::OnWebSocket));
    assert_eq!(rig.drain(), []);
    assert!(rig.machine.is_open());
}

/// E66.
#[test]
fn upgrades_can_be_switched_off() {
    let mut rig = Rig::polling();
    rig.timing.allow_upgrades = false;

    assert_eq!(rig.candidate(10), Err(Refused::NotAllowed));
    assert!(!rig.machine.is_upgrading());
}

#[test]
fn a_closed_connection_takes_no_candidate() {
    let mut rig = Rig::polling();
    rig.close(CloseReason::ForcedClose);

    assert_eq!(rig.candidate(10), Err(Refused::Closed));
}

#[test]
fn a_connection_that_is_over_by_now_takes_no_candidate() {
    let mut rig = Rig::polling();
    rig.timer(300);

    assert_eq!(rig.candidate(500), Err(Refused::Closed));
    assert_eq!(rig.drain(), timed_out());
}

#[test]
fn anything_else_on_the_candidate_drops_it_and_another_may_come() {
    for packet in [
        Control::Message,
        Control::Open,
        Control::Close,
        Control::Ping { probe: false },
        Control::Pong { probe: true },
        Control::Noop,
    ] {
        let mut rig = Rig::upgrading(10);
        rig.probed(20, PROBE);

        assert_eq!(rig.probed(30, packet), [Output::DropCandidate]);

        assert_eq!(rig.machine.transport(), Transport::Polling);
        assert_eq!(rig.timer(299), [], "polls are left alone again");
        assert_eq!(rig.candidate(299), Ok(()));
        assert_eq!(rig.probed(299, Control::Upgrade), [Output::Switch]);
    }
}

#[test]
fn bytes_that_are_no_packet_drop_the_candidate() {
    let mut rig = Rig::upgrading(10);

    rig.machine
        .handle_malformed(Channel::Candidate, DecodeError::Empty);

    assert_eq!(rig.drain(), [Output::DropCandidate]);
    assert!(rig.machine.is_open());
}

#[test]
fn what_a_dropped_candidate_still_says_is_ignored() {
    let mut rig = Rig::upgrading(10);
    rig.probed(20, Control::Message);

    for packet in [PROBE, Control::Upgrade, Control::Message, Control::Close] {
        assert_eq!(rig.probed(30, packet), []);
    }
    rig.machine
        .handle_malformed(Channel::Candidate, DecodeError::Empty);
    assert_eq!(rig.drain(), []);
    assert_eq!(rig.machine.transport(), Transport::Polling);
}

#[test]
fn a_candidate_that_is_lost_leaves_polling_alive() {
    let mut rig = Rig::upgrading(10);
    rig.probed(20, PROBE);

    rig.machine.handle_candidate_lost();

    assert_eq!(rig.drain(), []);
    assert_eq!(rig.next(), Some(300));
    assert_eq!(rig.candidate(40), Ok(()));
}

#[test]
fn a_lost_candidate_gets_no_reply() {
    let mut rig = Rig::upgrading(10);
    let at = rig.at(20);
    rig.machine
        .handle_control(Channel::Candidate, PROBE, at, &rig.timing);

    rig.machine.handle_candidate_lost();

    assert_eq!(rig.drain(), [Output::Noop]);
}

/// E61.
#[test]
fn a_candidate_that_takes_too_long_is_dropped_and_polling_lives() {
    let mut rig = Rig::upgrading(10);
    rig.timer(300);
    rig.current(310, PONG);
    assert_eq!(rig.next(), Some(460));

    assert_eq!(rig.timer(459), []);
    assert_eq!(rig.timer(460), [Output::DropCandidate]);

    assert!(rig.machine.handle_message());
    assert_eq!(rig.machine.transport(), Transport::Polling);
    assert_eq!(rig.candidate(470), Ok(()));
}

#[test]
fn an_upgrade_packet_that_comes_too_late_changes_nothing() {
    let mut rig = Rig::upgrading(10);
    rig.timer(300);
    rig.current(310, PONG);

    assert_eq!(rig.probed(460, Control::Upgrade), [Output::DropCandidate]);
    assert_eq!(rig.machine.transport(), Transport::Polling);
}

/// Section 1.4, 3: while upgrading, polling still works.
#[test]
fn polling_goes_on_while_upgrading() {
    let mut rig = Rig::upgrading(10);
    rig.probed(20, PROBE);

    assert!(rig.machine.handle_message());
    assert_eq!(rig.timer(300), [Output::Ping, Output::Noop]);
    assert_eq!(rig.current(310, PONG), []);
}

/// E64.
#[test]
fn a_close_while_upgrading_closes_both() {
    for reason in [CloseReason::ForcedClose, CloseReason::TransportClose] {
        let mut rig = Rig::upgrading(10);
        rig.probed(20, PROBE);

        assert_eq!(
            rig.close(reason.clone()),
            [Output::DropCandidate, Output::Closed(reason)]
        );
        assert!(!rig.machine.is_upgrading());
    }
}

#[test]
fn a_silent_client_is_closed_though_it_upgrades() {
    let mut rig = Rig::upgrading(290);
    rig.timer(300);

    assert_eq!(
        rig.timer(500),
        [
            Output::DropCandidate,
            Output::Closed(CloseReason::PingTimeout)
        ]
    );
}

/// While the client pauses polling, the ping waits for the websocket.
#[test]
fn the_switch_extends_the_pong_deadline() {
    let mut rig = Rig::upgrading(290);
    rig.timer(300);
    rig.probed(490, Control::Upgrade);

    assert_eq!(rig.timer(500), []);
    assert_eq!(rig.next(), Some(700));
}

#[test]
fn the_end_of_an_upgrade_is_noticed_before_the_next_noop() {
    let mut rig = Rig::upgrading(10);
    rig.timer(300);
    rig.current(310, PONG);

    rig.probed(370, PROBE);

    assert_eq!(rig.next(), Some(460));
}

#[test]
fn a_candidate_that_comes_when_the_last_one_is_given_up_is_refused() {
    let mut rig = Rig::upgrading(10);
    rig.timer(300);
    rig.current(310, PONG);

    assert_eq!(rig.candidate(460), Err(Refused::Upgrading));
    assert_eq!(rig.drain(), [Output::DropCandidate]);
    assert_eq!(rig.candidate(460), Ok(()));
}

#[test]
fn what_falls_due_with_the_switch_comes_before_it() {
    let mut rig = Rig::upgrading(10);
    rig.probed(20, PROBE);

    assert_eq!(
        rig.probed(300, Control::Upgrade),
        [Output::Ping, Output::Noop, Output::Switch]
    );
}
