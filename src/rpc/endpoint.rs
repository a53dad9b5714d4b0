//! A service of which one method has a codec or a body of its own.
//!
//! Invariant: the method is the only one that the generated service never sees.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tonic::{body::Body, codegen::Service, server::NamedService};

/// A method that is served apart from the generated service.
pub trait Method: Clone {
    /// The path of its calls.
    const PATH: &'static str;

    /// Answers a call. Errors are in the response.
    fn answer(self, request: http::Request<Body>) -> BoxFuture<'static, http::Response<Body>>;
}

/// Serves one method apart, and the others as the generated service does.
#[derive(Debug, Clone)]
pub struct Endpoint<M, S> {
    method: M,
    others: S,
}

impl<M, S> Endpoint<M, S> {
    pub(super) fn new(method: M, others: S) -> Self {
        Self { method, others }
    }
}

impl<M, S: NamedService> NamedService for Endpoint<M, S> {
    const NAME: &'static str = S::NAME;
}

impl<M: Method, S> Service<http::Request<Body>> for Endpoint<M, S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.others.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != M::PATH {
            return Box::pin(self.others.call(request));
        }
        let answer = self.method.clone().answer(request);
        Box::pin(async move { Ok(answer.await) })
    }
}
