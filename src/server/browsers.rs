//! What only browsers need: gRPC-Web, and the headers that let pages of other origins read.
//!
//! Invariant: a call of gRPC over HTTP/2 that names no origin comes from no page. It passes by all of this, which costs
//! each side of a call a few microseconds.

use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use tonic::{body::Body, codegen::Service};
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower_http::cors::{AllowOrigin, Any, Cors, CorsLayer};
use tower_layer::Layer;

/// The paths that write.
const ADMIN_PATH: &str = "/almanac.v1.AdminService/";
const CURSOR_PATH: &str = "/almanac.v1.FeedService/PutCursor";
/// How the content types of gRPC-Web begin.
const GRPC_WEB: &[u8] = b"application/grpc-web";

/// Serves browsers and everybody else.
#[derive(Debug, Clone, Copy)]
pub(super) struct BrowserLayer;

/// See [`BrowserLayer`].
#[derive(Debug, Clone)]
pub(super) struct Browsers<S> {
    native: S,
    browsers: Cors<GrpcWebService<S>>,
}

impl<S: Clone> Layer<S> for BrowserLayer {
    type Service = Browsers<S>;

    fn layer(&self, service: S) -> Browsers<S> {
        Browsers { native: service.clone(), browsers: cors().layer(GrpcWebLayer::new().layer(service)) }
    }
}

impl<S> Service<Request<Body>> for Browsers<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, <Cors<GrpcWebService<S>> as Service<Request<Body>>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        match self.native.poll_ready(cx) {
            Poll::Ready(Ok(())) => Service::<Request<Body>>::poll_ready(&mut self.browsers, cx),
            not_ready => not_ready,
        }
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match is_native(request.version(), request.headers()) {
            true => Either::Left(self.native.call(request)),
            false => Either::Right(self.browsers.call(request)),
        }
    }
}

fn is_native(version: Version, headers: &HeaderMap<HeaderValue>) -> bool {
    let is_grpc_web = |kind: &HeaderValue| kind.as_bytes().starts_with(GRPC_WEB);
    let kind = headers.get(header::CONTENT_TYPE);
    version == Version::HTTP_2 && kind.is_some_and(|kind| !is_grpc_web(kind)) && !headers.contains_key(header::ORIGIN)
}

/// For browsers: any page may read what the server answers to everybody. No page may write, not even through a browser on this
/// machine. gRPC-Web needs its trailers exposed.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(|_, request| !writes(request.uri.path())))
        .allow_headers(Any)
        .allow_methods([http::Method::POST])
        .expose_headers(["grpc-status", "grpc-message", "grpc-status-details-bin"].map(http::HeaderName::from_static))
}

fn writes(path: &str) -> bool {
    path.starts_with(ADMIN_PATH) || path == CURSOR_PATH
}
