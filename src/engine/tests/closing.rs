use super::*;

#[test]
fn a_close_packet_closes_on_any_transport() {
    for mut rig in [Rig::polling(), Rig::websocket()] {
        let outputs = rig.current(10, Control::Close);

        assert_eq!(outputs, [Output::Closed(CloseReason::TransportClose)]);
    }
}

#[test]
fn open_upgrade_and_noop_of_a_client_mean_nothing() {
    for packet in [Control::Open, Control::Upgrade, Control::Noop] {
        for mut rig in [Rig::polling(), Rig::websocket()] {
            assert_eq!(rig.current(10, packet), []);

            assert!(rig.machine.is_open());
            assert_eq!(rig.next(), Some(300));
        }
    }
}

/// E40, E42, E22: which bytes these are is for the codecs to say.
#[test]
fn bytes_that_are_no_packet_close() {
    let mut rig = Rig::websocket();
    rig.machine
        .handle_malformed(Channel::Current, DecodeError::UnknownType(b'a'));

    assert_eq!(
        rig.drain(),
        [Output::Closed(CloseReason::Malformed(
            DecodeError::UnknownType(b'a')
        ))]
    );
}

#[test]
fn the_first_reason_counts_and_is_told_once() {
    let mut rig = Rig::polling();

    rig.machine.close(CloseReason::Superseded);
    rig.machine.close(CloseReason::Shutdown);

    assert_eq!(rig.drain(), [Output::Closed(CloseReason::Superseded)]);
    assert_eq!(rig.close(CloseReason::ForcedClose), []);
    assert_eq!(rig.timer(10_000), []);
}

/// E25: what follows a close packet is not delivered.
#[test]
fn a_closed_connection_takes_no_message_and_sets_no_timer() {
    let mut rig = Rig::polling();
    rig.current(10, Control::Close);

    assert!(!rig.machine.handle_message());
    assert!(!rig.machine.is_open());
    assert_eq!(rig.next(), None);
    assert_eq!(rig.expires(), None);
}

#[test]
fn outputs_that_lost_their_sense_do_not_outlive_the_close() {
    let mut rig = Rig::upgrading(250);
    let at = rig.at(300);
    rig.machine
        .handle_control(Channel::Candidate, PROBE, at, &rig.timing);

    rig.machine.close(CloseReason::ForcedClose);

    assert_eq!(
        rig.drain(),
        [
            Output::DropCandidate,
            Output::Closed(CloseReason::ForcedClose)
        ]
    );
}

#[test]
fn a_connection_is_small() {
    assert!(size_of::<Machine>() <= 112, "{}", size_of::<Machine>());
}
