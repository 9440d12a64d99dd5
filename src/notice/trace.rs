use super::Notice;
use crate::message::User;

/// Errors at `WARN`, the life of connections at `DEBUG`; never a message or a socket id.
pub(super) fn trace(notice: &Notice) {
    let name = notice.name();
    let account = notice.user().map(User::account);
    match notice {
        Notice::Json { error, .. } | Notice::Invalid { error, .. } => {
            tracing::warn!(name, account, error);
        }
        Notice::Validation { event, error, .. } => {
            tracing::warn!(name, account, event, %error);
        }
        Notice::Handler { event, error, .. } => {
            tracing::warn!(name, account, event, %error);
        }
        Notice::Disconnect { reason, .. } => tracing::debug!(name, account, %reason),
        Notice::Reject { status, reason } => {
            tracing::debug!(name, status = status.as_u16(), reason);
        }
        Notice::QueueFull { .. } | Notice::UnverifiedAccount => tracing::warn!(name, account),
        Notice::ConnectError { key, error, .. } | Notice::DisconnectError { key, error, .. } => {
            tracing::warn!(name, account, key, error);
        }
        Notice::FollowGap {
            account,
            followed,
            follower,
            missed,
        } => {
            let (followed, follower) = (&**followed, &**follower);
            tracing::warn!(name, account = &**account, followed, follower, missed);
        }
        Notice::PresenceOffline { error } | Notice::BusOffline { error } => {
            tracing::warn!(name, error);
        }
        Notice::PresenceInvalid { what } | Notice::BusInvalid { what } => {
            tracing::warn!(name, what);
        }
        Notice::PresenceEviction { policy } => tracing::warn!(name, policy),
        Notice::PresenceFenced => tracing::warn!(name),
        Notice::PresenceOnline | Notice::BusOnline => tracing::info!(name),
        Notice::BusGap { node, missed } => tracing::warn!(name, node = &**node, missed),
        Notice::BusFull { node } => tracing::warn!(name, node = &**node),
        Notice::Connect { .. }
        | Notice::Upgrade { .. }
        | Notice::Join { .. }
        | Notice::Leave { .. } => tracing::debug!(name, account),
    }
}
