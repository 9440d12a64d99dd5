use proptest::prelude::*;

use super::cast::frame;
use crate::{
    bus::{
        Answer, Call, Fed, Held, Level, Outcome, Piece, Refused, Sent, Target,
        entry::{self, Item},
    },
    message::{Frame, User, WireKind},
    presence::Move,
};

fn frames() -> impl Strategy<Value = Frame> {
    let text = any::<String>().prop_map(|text| frame(&text));
    let binary = proptest::collection::vec(any::<u8>(), 0..200)
        .prop_map(|bytes| Frame::from_payload(WireKind::Binary, &bytes).unwrap());
    let frame = prop_oneof![text, binary];
    (frame, any::<bool>()).prop_map(
        |(frame, volatile)| {
            if volatile { frame.volatile() } else { frame }
        },
    )
}

fn targets() -> impl Strategy<Value = Target> {
    let text = || any::<String>().prop_map(Box::<str>::from);
    prop_oneof![
        Just(Target::All),
        text().prop_map(Target::Account),
        (text(), text()).prop_map(|(account, session)| Target::Session { account, session }),
    ]
}

fn calls() -> impl Strategy<Value = Call> {
    let text = || any::<String>().prop_map(Box::<str>::from);
    let level = prop_oneof![Just(Level::Enqueued), Just(Level::Written)];
    prop_oneof![
        (text(), text(), frames(), level, any::<bool>()).prop_map(
            |(account, session, frame, level, bounced)| Call::Forward {
                account,
                session,
                frame,
                level,
                bounced
            }
        ),
        (targets(), frames()).prop_map(|(to, frame)| Call::Send { to, frame }),
        (targets(), text()).prop_map(|(to, reason)| Call::Close { to, reason }),
        (text(), text()).prop_map(|(account, session)| Call::Moved { account, session }),
        (text(), text(), text(), any::<bool>()).prop_map(|(account, followed, follower, on)| {
            Call::Follow {
                account,
                followed,
                follower,
                on,
            }
        }),
        held().prop_map(Call::Watch),
        pieces().prop_map(Call::Feed),
    ]
}

fn held() -> impl Strategy<Value = Held> {
    (any::<u64>(), any::<u64>()).prop_map(|(stream, piece)| Held { stream, piece })
}

fn pieces() -> impl Strategy<Value = Piece> {
    let one = (
        "[a-zé:|]{1,20}",
        "[a-z0-9]{1,20}",
        1..1_u64 << 53,
        any::<bool>(),
    );
    let one = one.prop_map(|(account, session, generation, joined)| Move {
        user: User::new(&account, &session, ""),
        generation,
        joined,
    });
    let moves = proptest::collection::vec(one, 0..5);
    (held(), any::<bool>(), any::<bool>(), moves).prop_map(|(at, begins, ends, moves)| Piece {
        at,
        begins,
        ends,
        moves,
    })
}

fn answers() -> impl Strategy<Value = entry::Answered> {
    let refused = prop_oneof![
        Just(Refused::QueueFull),
        Just(Refused::Closing),
        Just(Refused::InboxFull),
        Just(Refused::BusOffline),
        Just(Refused::Unsendable),
    ];
    let outcome = prop_oneof![
        Just(Outcome::NoSession),
        Just(Outcome::Uncertain),
        Just(Outcome::NodeGone),
        Just(Outcome::Unknown),
        Just(Outcome::Enqueued),
        Just(Outcome::Written),
        refused.clone().prop_map(Outcome::Refused),
    ];
    let fed = vec![Fed::Taken, Fed::Again, Fed::Later, Fed::Unwanted];
    prop_oneof![
        proptest::sample::select(fed).prop_map(|fed| Ok(Answer::Fed(fed))),
        outcome.prop_map(|outcome| Ok(Answer::Forward(outcome))),
        (any::<usize>(), any::<usize>()).prop_map(|(queued, refused)| Ok(Answer::Sent(Sent {
            queued,
            refused,
            ..Sent::default()
        }))),
        any::<usize>().prop_map(|count| Ok(Answer::Closed(count))),
        refused.prop_map(Err),
    ]
}

#[derive(Clone, Debug)]
enum Sample {
    Call(Option<u64>, Call),
    Answer(u64, entry::Answered),
}

fn samples() -> impl Strategy<Value = Sample> {
    prop_oneof![
        (any::<Option<u64>>(), calls()).prop_map(|(id, call)| Sample::Call(id, call)),
        (any::<u64>(), answers()).prop_map(|(id, answer)| Sample::Answer(id, answer)),
    ]
}

fn write(samples: &[Sample]) -> Vec<u8> {
    let mut bytes = entry::begin("sender");
    for sample in samples {
        match sample {
            Sample::Call(id, call) => {
                let before = bytes.len();
                entry::put_call(&mut bytes, *id, call);
                assert!(bytes.len() - before <= entry::size(call));
            }
            Sample::Answer(id, answer) => entry::put_answer(&mut bytes, *id, *answer),
        }
    }
    entry::number(&mut bytes, 7, 3);
    bytes
}

proptest! {
    #[test]
    fn what_is_written_is_read(samples in proptest::collection::vec(samples(), 0..8)) {
        let bytes = write(&samples);

        let (head, rest) = entry::head(&bytes).unwrap();
        let items = entry::items(rest).unwrap();

        prop_assert_eq!(head, entry::Head { sender: "sender", seq: 7, since: 3 });
        prop_assert_eq!(items.len(), samples.len());
        for (item, sample) in items.iter().zip(&samples) {
            match (item, sample) {
                (Item::Call(id, call), Sample::Call(asked, sent)) => {
                    prop_assert_eq!(id, asked);
                    // Frames are compared by all that they show.
                    prop_assert_eq!(format!("{call:?}"), format!("{sent:?}"));
                }
                (Item::Answer(id, answer), Sample::Answer(asked, sent)) => {
                    prop_assert_eq!((id, answer), (asked, sent));
                }
                _ => prop_assert!(false, "{:?} became {:?}", sample, item),
            }
        }
    }

    #[test]
    fn whatever_else_comes_is_refused_or_read(
        samples in proptest::collection::vec(samples(), 0..4),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = write(&samples);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok((_, rest)) = entry::head(&bytes) {
            drop(entry::items(rest));
        }
    }

    #[test]
    fn any_bytes_are_no_reason_to_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Some(version) = bytes.first_mut() {
            *version = 1;
        }
        if let Ok((_, rest)) = entry::head(&bytes) {
            drop(entry::items(rest));
        }
    }
}

#[test]
fn an_entry_that_is_cut_anywhere_in_an_item_is_refused() {
    let call = Call::Send {
        to: Target::Account("ann".into()),
        frame: frame("hello"),
    };
    let bytes = write(&[Sample::Call(Some(300), call)]);
    let start = entry::begin("sender").len();
    for end in start + 1..bytes.len() {
        let (_, rest) = entry::head(&bytes[..end]).unwrap();
        entry::items(rest).unwrap_err();
    }
}

#[test]
fn another_version_is_refused() {
    let mut bytes = write(&[]);
    bytes[0] = 2;
    let error = entry::head(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "it is of another version");
}

#[test]
fn an_entry_of_nobody_or_from_nowhere_is_refused() {
    let longest = "x".repeat(64);
    for (sender, seq, since, fits) in [
        ("a", 1, 1, true),
        (&*longest, u64::MAX - 1, 1, true),
        ("", 1, 1, false),
        ("a b", 1, 1, false),
        ("\u{e9}", 1, 1, false),
        (&*format!("{longest}x"), 1, 1, false),
        ("a", 0, 0, false),
        ("a", 1, 0, false),
        ("a", 1, 2, false),
        ("a", u64::MAX, 1, false),
    ] {
        let mut bytes = entry::begin(sender);
        entry::number(&mut bytes, seq, since);
        assert_eq!(entry::head(&bytes).is_ok(), fits, "{sender} {seq} {since}");
    }
}

#[test]
fn what_follows_an_item_or_is_flagged_as_nobody_does_is_refused() {
    let moved = Call::Moved {
        account: "ann".into(),
        session: "s".into(),
    };
    let good = write(&[Sample::Call(None, moved)]);
    let start = entry::begin("sender").len();
    let refused = |bytes: &[u8]| {
        let (_, rest) = entry::head(bytes).unwrap();
        entry::items(rest).unwrap_err().to_string()
    };
    let mut longer = good.clone();
    longer[start] += 1;
    longer.push(0);
    assert_eq!(refused(&longer), "something follows an item");
    let mut flagged = good;
    flagged[start + 5] |= 128;
    assert_eq!(refused(&flagged), "a call has an unknown flag");
}

#[test]
fn a_text_message_that_is_none_is_refused() {
    for payload in [&b""[..], b"2", b"4\xff", b"0{}"] {
        assert!(Frame::from_payload(WireKind::Text, payload).is_none());
    }
    let binary = Frame::from_payload(WireKind::Binary, b"\xff").unwrap();
    assert_eq!(binary.payload(), b"\xff");
}
