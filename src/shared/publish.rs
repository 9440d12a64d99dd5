use http::request::Parts;
use http_body::Body;

use super::{Next, Shared};
use crate::{config::Secrets, connection::MakeHandler, node::Handle, publish::Publishing};

impl<M: MakeHandler> Shared<M> {
    /// Takes a request to where one publishes.
    pub(crate) fn publish<B: Body>(&self, secrets: &Secrets, parts: &Parts, body: B) -> Next<B> {
        self.owner.begin(&self.endpoint.settings);
        let handle = Handle::new(self.owner.clone());
        let publishing = Publishing::new(handle, secrets, parts, body);
        Next::Publish { publishing }
    }
}
