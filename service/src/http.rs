//! HTTP servers: bound before they are announced, stopped gracefully.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::{BoxError, Problem};

/// How long to wait after the system would not give a connection: it has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server grants its clients. Heads of requests are limited by hyper: 100 headers, some 400 KiB (431 beyond).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a client may take to send the head of a request; a connection is idle for no longer.
    pub head_read: Duration,
    /// Connections at one time; more wait in the system's queue until one ends.
    pub connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_read: Duration::from_secs(30), connections_max: 10_000 }
    }
}

/// A server that holds its port and does not answer yet.
#[derive(Debug)]
pub struct Bound {
    name: &'static str,
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
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
        Ok(Self { name, listener, address, limits: Limits::default() })
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// With other limits than the default ones.
    #[must_use]
    pub fn limited(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Answers requests until `stop`, then finishes those under way.
    ///
    /// # Errors
    /// None so far: a listener that fails for want of file descriptors is tried again.
    pub async fn serve(self, router: Router, stop: CancellationToken) -> Result<(), BoxError> {
        let router = router
            .layer(tower_http::catch_panic::CatchPanicLayer::custom(|_| {
                tracing::error!("a request handler panicked");
                axum::response::IntoResponse::into_response(Problem::internal("the server failed on this request"))
            }))
            .fallback(|| async { Problem::new(axum::http::StatusCode::NOT_FOUND, "there is nothing at this path") });
        tracing::info!(server = self.name, address = %self.address, "listening");
        let (connections, slots) = (TaskTracker::new(), Arc::new(Semaphore::new(self.limits.connections_max)));
        while let Some((stream, slot)) = next(&self.listener, &slots, &stop).await {
            let (router, stop, head_read) = (router.clone(), stop.clone(), self.limits.head_read);
            connections.spawn(async move {
                connection(stream, router, stop, head_read).await;
                drop(slot);
            });
        }
        // Whoever connects from now on is refused at once, instead of waiting for an answer that does not come.
        drop(self.listener);
        connections.close();
        connections.wait().await;
        Ok(())
    }
}

/// The next connection, once there is a slot for it; none when the server has to stop.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let accept = async {
        let slot = slots.clone().acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, slot)),
                // The client went away before it was taken.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection can be taken for now");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! { accepted = accept => accepted, () = stop.cancelled() => None }
}

/// Serves one connection, HTTP/1.1 or HTTP/2 (prior knowledge).
async fn connection(stream: TcpStream, router: Router, stop: CancellationToken, head_read: Duration) {
    // An answer is written in one go: waiting for more to send only delays it.
    let _ = stream.set_nodelay(true);
    let asked = Arc::new(AtomicBool::new(false));
    let mark = asked.clone();
    let service = router.map_request(move |request: Request<_>| {
        mark.store(true, Ordering::Relaxed);
        request
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_read);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(head_read));
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    // hyper's own timeout begins with the first bytes that tell HTTP/1.1 from HTTP/2: this one covers the wait for them.
    let mut silence = pin!(tokio::time::sleep(head_read));
    let (mut stopping, mut silence_over) = (false, false);
    loop {
        tokio::select! {
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
            () = silence.as_mut(), if !silence_over => {
                silence_over = true;
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn serve(limits: Limits) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<Result<(), BoxError>>) {
        let bound = Bound::new("test", "127.0.0.1:0".parse().unwrap()).await.unwrap().limited(limits);
        let (address, stop) = (bound.address(), CancellationToken::new());
        let router = Router::new().route("/", get(|| async { "up" }));
        (address, stop.clone(), tokio::spawn(bound.serve(router, stop)))
    }

    async fn answer(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_client_that_does_not_finish_its_request_is_cut_off() {
        let limits = Limits { head_read: Duration::from_millis(50), ..Limits::default() };
        let (address, stop, served) = serve(limits).await;
        // Nothing at all; what may become HTTP/2; a head without an end.
        for sent in [&b""[..], b"PRI * HT", b"GET / HTTP/1.1\r\nhost: example.com\r\n"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent).await.unwrap();
            assert!(!answer(&mut stream).await.contains("200 OK"));
        }
        stop.cancel();
        served.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_connection_beyond_the_limit_is_served_once_another_ends() {
        let (address, stop, served) = serve(Limits { connections_max: 1, ..Limits::default() }).await;
        let first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(b"GET / HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n").await.unwrap();
        drop(first);
        assert!(answer(&mut second).await.ends_with("up"));
        stop.cancel();
        served.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_stop_ends_idle_connections_and_refuses_new_ones() {
        let (address, stop, served) = serve(Limits::default()).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: example.com\r\n\r\n").await.unwrap();
        let mut head = [0; 15];
        idle.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        stop.cancel();
        served.await.unwrap().unwrap();
        assert!(answer(&mut idle).await.ends_with("up"));
        assert!(TcpStream::connect(address).await.is_err());
    }
}
