use std::time::Duration;

use deadpool_redis::redis::{
    Cmd, RedisResult, Value,
    cluster_async::ClusterConnection,
    cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo},
    cmd,
};
use futures_util::future::select_ok;
use tokio::time::{Instant, timeout_at};

use super::{
    slots::Slots,
    wire::{Make, Numbered, Wire},
};

/// Connections to a Cluster. With more masters than that, some share one.
const LANES: u8 = 8;

/// This part of the command timeout may be spent on asking who has which slots.
const ASKING: u32 = 4;

/// Whose connection it is, if that is known.
pub(super) type Lane = Option<usize>;

/// Connections to a Cluster, by the server that they are for.
///
/// Each could reach all servers. But on one that has to do with a server that is lost or hangs, calls
/// of the others may wait as well, and even for ever.
pub(super) struct Lanes {
    wires: Vec<Wire<ClusterConnection>>,
    /// For what is nobody's, or whose owner is not known.
    any: Wire<ClusterConnection>,
    slots: Slots,
    asking: Duration,
}

impl Lanes {
    /// Nothing is connected yet. Calls are given up after so long.
    pub(super) fn new(make: &Make<ClusterConnection>, timeout: Duration) -> Self {
        let wire = || Wire::new(make.clone(), timeout);
        Self {
            wires: (0..LANES).map(|_| wire()).collect(),
            any: wire(),
            slots: Slots::new(LANES),
            asking: timeout / ASKING,
        }
    }

    /// The way of a call.
    pub(super) fn lane(&self, call: &Cmd) -> Lane {
        self.slots.lane_of(call)
    }

    /// The connection of a lane, made if there is none.
    pub(super) async fn connect(&self, lane: Lane) -> RedisResult<Numbered<ClusterConnection>> {
        let connected = self.wire(lane).connect().await;
        connected.inspect_err(|_| self.slots.doubt())
    }

    /// Learns who has which slots, where that is not known or in doubt.
    pub(super) async fn look_up(&self, deadline: Instant) {
        if !self.slots.take_due() {
            return;
        }
        let limit = deadline.min(Instant::now() + self.asking);
        let asked = self.ask();
        if let Ok(Ok(answer)) = timeout_at(limit, asked).await
            && self.slots.learn(&answer)
        {
            // There is a better way now.
            self.any.reconnect();
        }
    }

    /// Whether a call was answered, if only by a refusal.
    pub(super) fn note(&self, lane: Lane, over: &Numbered<ClusterConnection>, answered: bool) {
        self.wire(lane).note(over, answered);
        if !answered {
            self.slots.doubt();
        }
    }

    /// Gives up what did not answer.
    pub(super) fn reconnect(&self) {
        let all = self.wires.iter().chain([&self.any]);
        all.for_each(Wire::reconnect_if_silent);
    }

    /// Gives up all connections.
    pub(super) fn disconnect(&self) {
        let all = self.wires.iter().chain([&self.any]);
        all.for_each(Wire::reconnect);
    }

    fn wire(&self, lane: Lane) -> &Wire<ClusterConnection> {
        lane.map_or(&self.any, |lane| &self.wires[lane])
    }

    /// Asks all servers that we are connected to, each on its own connection; or anybody.
    async fn ask(&self) -> RedisResult<Value> {
        let routes = self.slots.routes().into_iter();
        let ready = routes.filter_map(|(lane, route)| Some((self.wires[lane].ready()?, route)));
        let asked: Vec<_> = ready
            .map(|(over, route)| Box::pin(ask_one(over, route)))
            .collect();
        if asked.is_empty() {
            let mut connection = self.any.connect().await?.connection;
            return question().query_async(&mut connection).await;
        }
        select_ok(asked).await.map(|(answer, _)| answer)
    }
}

async fn ask_one(mut over: Numbered<ClusterConnection>, route: Route) -> RedisResult<Value> {
    let to = RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(route));
    let answer = over.connection.route_command(question(), to);
    answer.await?.extract_error()
}

fn question() -> Cmd {
    let mut question = cmd("CLUSTER");
    question.arg("SLOTS");
    question
}
