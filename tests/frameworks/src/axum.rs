//! axum 0.8: where in a `Router` the layer stands, and what it is asked for there.

use axum::{Router, extract::State, routing::get};
use http::StatusCode;
use tower::Layer;

use crate::{
    app,
    client::{Http, assert_it_serves},
    layer, layer_at, serve, tcp,
};

const ENDPOINT: &str = "/stream/?EIO=4&transport=polling&account=ann";

async fn statuses<const N: usize>(app: Router, targets: [&str; N]) -> [u16; N] {
    let address = serve(app).await;
    let mut http = Http::one(tcp(address)().await.unwrap()).await;
    let mut statuses = [0; N];
    for (target, status) in targets.into_iter().zip(&mut statuses) {
        *status = http.get(target).await.0.as_u16();
    }
    statuses
}

#[tokio::test]
async fn a_layer_of_the_router_serves_beside_routes_state_and_fallback() {
    let app = Router::new()
        .route("/", get(async |State(page): State<&'static str>| page))
        .route("/stream/more", get(async || "a route"))
        .fallback(async || (StatusCode::IM_A_TEAPOT, "fallback"))
        .layer(layer())
        .with_state("inner");
    let address = serve(app).await;

    assert_it_serves(tcp(address), "").await;
    let mut http = Http::one(tcp(address)().await.unwrap()).await;
    assert_eq!(http.get("/").await.2, "inner");
    assert_eq!(http.get("/stream/more").await.2, "a route");
    assert_eq!(http.get("/elsewhere").await.2, "fallback");
}

#[tokio::test]
async fn a_route_of_the_same_path_does_not_get_its_requests() {
    let app = Router::new()
        .route("/stream/", get(async || "a route"))
        .layer(layer());

    assert_it_serves(tcp(serve(app).await), "").await;
}

/// What is added to a router after its layer does not pass the layer, a fallback least of all: the
/// endpoint is served where no route is found.
#[tokio::test]
async fn a_fallback_that_is_added_later_takes_the_endpoint_away() {
    let before = app().fallback(teapot).layer(layer());
    assert_eq!(statuses(before, ["/other", ENDPOINT]).await, [418, 200]);

    let after = app().layer(layer()).fallback(teapot);
    assert_eq!(statuses(after, ["/other", ENDPOINT]).await, [418, 418]);

    let route = app().layer(layer()).route("/later", get(teapot));
    assert_eq!(statuses(route, ["/later", ENDPOINT]).await, [418, 200]);
}

/// A route layer runs once a route was found, and the endpoint is none.
#[tokio::test]
async fn a_route_layer_needs_a_route() {
    let without = app().route_layer(layer());
    assert_eq!(statuses(without, ["/", ENDPOINT]).await, [200, 404]);

    let with = app().route("/stream/", get(teapot)).route_layer(layer());
    assert_eq!(statuses(with, ["/", ENDPOINT]).await, [200, 200]);
}

#[tokio::test]
async fn a_service_of_the_layer_is_a_route() {
    let endpoint = layer().layer(get(teapot));
    let app = app().route_service("/stream/", endpoint);

    assert_it_serves(tcp(serve(app).await), "").await;
}

/// Of a router below a path the routes are taken and the default fallback is not; the path that the
/// layer sees is the rest.
#[tokio::test]
async fn below_a_path_the_endpoint_needs_a_service_a_fallback_or_a_route() {
    let layered = || app().layer(layer());
    let paths = ["/api", "/api/stream/?EIO=4&transport=polling&account=ann"];

    let nested = Router::new().nest("/api", layered());
    assert_eq!(statuses(nested, paths).await, [200, 404]);

    let service = Router::new().nest_service("/api", layered());
    assert_eq!(statuses(service, paths).await, [200, 200]);

    let fallback = app().fallback(teapot).layer(layer());
    let nested = Router::new().nest("/api", fallback);
    assert_eq!(statuses(nested, paths).await, [200, 200]);

    let route = app().route_service("/stream/", layer().layer(get(teapot)));
    let nested = Router::new().nest("/api", route);
    assert_it_serves(tcp(serve(nested).await), "/api").await;
}

#[tokio::test]
async fn around_everything_the_endpoint_has_a_path_of_its_own() {
    let app = Router::new()
        .nest("/api", app())
        .layer(layer_at("/api/stream/"));

    assert_it_serves(tcp(serve(app).await), "/api").await;
}

/// Of two routers that are merged, the default fallback of the one that is given counts.
#[tokio::test]
async fn a_router_with_the_layer_is_merged_into_others() {
    let layered = || app().layer(layer());
    let plain = || Router::new().route("/plain", get(teapot));

    let given = plain().merge(layered());
    assert_eq!(statuses(given, ["/plain", ENDPOINT]).await, [418, 200]);

    let giving = layered().merge(plain());
    assert_eq!(statuses(giving, ["/plain", ENDPOINT]).await, [418, 404]);

    let last = app().merge(plain()).layer(layer());
    assert_eq!(statuses(last, ["/plain", ENDPOINT]).await, [418, 200]);
}

async fn teapot() -> StatusCode {
    StatusCode::IM_A_TEAPOT
}
