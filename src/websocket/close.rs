//! Why a connection is closed.

use super::ProtocolError;

/// A close code that may be sent [RFC 6455, 7.4, and the registry it founds].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub(crate) const NORMAL: Self = Self(1000);
    /// The server goes down, or the page was left.
    pub(crate) const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub(crate) const PROTOCOL_ERROR: Self = Self(1002);
    /// The peer's data does not fit its kind, as text that is not UTF-8.
    pub(crate) const INVALID_DATA: Self = Self(1007);
    /// The peer broke a rule of this side that has no code of its own.
    pub(crate) const POLICY: Self = Self(1008);
    /// The peer's message is too large.
    pub(crate) const TOO_BIG: Self = Self(1009);

    /// The code of that number, or `None` where it may not be sent.
    pub(crate) const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number of this code.
    pub(crate) const fn get(self) -> u16 {
        self.0
    }
}

/// What a client's close frame says. Its reason is checked and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CloseFrame {
    /// The code that the client gave.
    pub(crate) code: CloseCode,
}

impl CloseFrame {
    /// Reads the payload of a close frame; an empty one says nothing.
    pub(super) fn parse(payload: &[u8]) -> Result<Option<Self>, ProtocolError> {
        let (high, low, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::CloseTooShort),
            [high, low, reason @ ..] => (*high, *low, reason),
        };
        let number = u16::from_be_bytes([high, low]);
        let code = CloseCode::new(number).ok_or(ProtocolError::CloseCodeNotAllowed(number))?;
        match simdutf8::basic::from_utf8(reason) {
            Ok(_) => Ok(Some(Self { code })),
            Err(_) => Err(ProtocolError::ReasonNotUtf8),
        }
    }
}
