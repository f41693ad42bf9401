//! Accepts connections, with a bound for everything that a client could leave open.

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

/// Connections at once; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 4096;
/// How long a new connection may take to its first request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How long the head of a later request may take, and a connection stay without one.
const NEXT_REQUEST: Duration = Duration::from_mins(1);
/// How often an idle HTTP/2 peer is asked whether it is there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;

/// Serves until `stop`, then lets the requests in flight end.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(NEXT_REQUEST);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(64 << 10);
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async { (slots.clone().acquire_owned().await, listener.accept().await) } => accepted,
        };
        let (Ok(slot), Ok((stream, _))) = accepted else {
            // Out of file descriptors, most likely: some connection has to end first.
            tracing::warn!("a connection could not be accepted");
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let asked = Arc::new(AtomicBool::new(false));
        let (router, has_asked) = (router.clone(), asked.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            has_asked.store(true, Ordering::Relaxed);
            router.clone().call(request.map(Body::new))
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _slot = slot;
            tokio::select! {
                _ = connection => {} // how it ended is the client's affair
                () = silence(&asked) => {}
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Ends where a connection has brought no request in time.
async fn silence(asked: &AtomicBool) {
    sleep(FIRST_REQUEST).await;
    if asked.load(Ordering::Relaxed) {
        pending::<()>().await;
    }
}
