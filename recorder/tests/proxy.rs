//! A TCP proxy that can be cut and restored: a store that goes away and comes back. It may speak TLS to its clients.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use openssl::ssl::{Ssl, SslAcceptor};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_openssl::SslStream;

/// The proxy; it ends with this.
pub struct Proxy {
    pub address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
    tls: Arc<Mutex<Option<SslAcceptor>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy to `target` that lets nobody through yet.
    pub async fn cut(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(watch::channel(false).0);
        let tls = Arc::new(Mutex::new(None));
        let (opened, presented) = (open.clone(), tls.clone());
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *opened.borrow() {
                    let tls = presented.lock().unwrap().clone();
                    tokio::spawn(pass(client, tls, target.clone(), opened.subscribe()));
                }
            }
        });
        Self { address, open, tls, task }
    }

    /// A proxy to `target` that speaks TLS to its clients, and lets them through.
    pub async fn tls(target: String, acceptor: SslAcceptor) -> Self {
        let proxy = Self::cut(target).await;
        proxy.present(acceptor);
        proxy.restore();
        proxy
    }

    /// Speaks TLS to clients from now on, with another certificate.
    pub fn present(&self, acceptor: SslAcceptor) {
        *self.tls.lock().unwrap() = Some(acceptor);
    }

    /// Lets connections through.
    pub fn restore(&self) {
        self.open.send_replace(true);
    }

    /// Breaks all connections, and refuses new ones.
    pub fn break_off(&self) {
        self.open.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.break_off();
    }
}

async fn pass(client: TcpStream, tls: Option<SslAcceptor>, target: String, open: watch::Receiver<bool>) {
    let Some(acceptor) = tls else { return copy(client, target, open).await };
    let mut client = SslStream::new(Ssl::new(acceptor.context()).unwrap(), client).unwrap();
    // A client that does not trust it, or has no certificate, goes.
    if Pin::new(&mut client).accept().await.is_ok() {
        copy(client, target, open).await;
    }
}

async fn copy(mut client: impl AsyncRead + AsyncWrite + Unpin, target: String, mut open: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = open.wait_for(|open| !*open) => {}
    }
}
