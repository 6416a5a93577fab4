//! HTTP servers: bound before they are announced, stopped gracefully.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{BoxError, Problem};

/// A server that holds its port and does not answer yet.
#[derive(Debug)]
pub struct Bound {
    name: &'static str,
    listener: TcpListener,
    address: SocketAddr,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} cannot listen on {address}; another process may, or the address is not this machine's: choose another with --{name}-addr (port 0 picks a free one)"
)]
pub struct BindError {
    name: &'static str,
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

impl Bound {
    /// Takes the port; port 0 takes a free one.
    ///
    /// # Errors
    /// [`BindError`] where the address is taken or not this machine's.
    pub async fn new(name: &'static str, address: SocketAddr) -> Result<Self, BindError> {
        let error = |source| BindError { name, address, source };
        let listener = TcpListener::bind(address).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        Ok(Self { name, listener, address })
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop`, then finishes those under way.
    ///
    /// # Errors
    /// The listener failed.
    pub async fn serve(self, router: Router, stop: CancellationToken) -> Result<(), BoxError> {
        let router = router
            .layer(tower_http::catch_panic::CatchPanicLayer::custom(|_| {
                tracing::error!("a request handler panicked");
                axum::response::IntoResponse::into_response(Problem::internal("the server failed on this request"))
            }))
            .fallback(|| async { Problem::new(axum::http::StatusCode::NOT_FOUND, "there is nothing at this path") });
        tracing::info!(server = self.name, address = %self.address, "listening");
        axum::serve(self.listener, router.into_make_service())
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await?;
        Ok(())
    }
}
