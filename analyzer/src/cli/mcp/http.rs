//! Streamable HTTP on the loopback interface. The SDK refuses other hosts' names and every web page
//! (`Host`, `Origin`); on top of that a client must present the token.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;

use super::server::Server;
use super::tools::State;
use crate::cli::console::Console;
use crate::cli::failure::Failure;

/// Serves until the process is interrupted.
pub(super) async fn serve(
    state: Arc<State>,
    address: SocketAddr,
    token: Option<String>,
    console: &mut Console,
) -> Result<(), Failure> {
    let fail = |source: io::Error| Failure::Serve { source };
    let given = token.is_some();
    let token = match token {
        Some(token) if token.trim().is_empty() => return Err(Failure::EmptyToken),
        Some(token) => token,
        None => make_up().map_err(fail)?,
    };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let local = listener.local_addr().map_err(fail)?;
    let config = StreamableHttpServerConfig::default()
        .with_allowed_hosts(["localhost", "127.0.0.1", "::1", "[::1]"])
        .enforce_origin_validation();
    let factory = move || Ok(Server::new(Arc::clone(&state)));
    let service = StreamableHttpService::new(factory, Arc::new(LocalSessionManager::default()), config);
    console.err(&format!("listening on http://{local}/mcp\n"));
    if !given {
        console.err(&format!("token: {token}\n"));
    }
    let token = Arc::new(format!("Bearer {token}"));
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.map_err(fail)?.0,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let (service, token) = (service.clone(), Arc::clone(&token));
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let (service, token) = (service.clone(), Arc::clone(&token));
                async move {
                    let mut answer = match refuse(&request, &token) {
                        Some(refusal) => refusal,
                        None => service.handle(request).await,
                    };
                    // What was refused was not read to its end, so nothing can follow it.
                    if answer.status().is_client_error() {
                        let close = HeaderValue::from_static("close");
                        answer.headers_mut().insert(CONNECTION, close);
                    }
                    Ok::<_, std::convert::Infallible>(answer)
                }
            });
            // A client that goes away, or speaks something else, concerns nobody but itself.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

type Answer = Response<http_body_util::combinators::BoxBody<hyper::body::Bytes, std::convert::Infallible>>;

/// What a request without the token, or for another path, is told.
fn refuse(request: &Request<Incoming>, token: &str) -> Option<Answer> {
    let presented = request
        .headers()
        .get(AUTHORIZATION)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let status = if !same(presented, token.as_bytes()) {
        StatusCode::UNAUTHORIZED
    } else if request.uri().path() != "/mcp" {
        StatusCode::NOT_FOUND
    } else {
        return None;
    };
    let mut response = Response::new(http_body_util::combinators::BoxBody::default());
    *response.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    Some(response)
}

/// Compares without stopping at the first difference, so that time tells nothing.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

/// 128 bits from the operating system, in hex.
fn make_up() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
