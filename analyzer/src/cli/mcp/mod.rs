//! `ingero mcp`: the analyzer as a server of the Model Context Protocol, for assistants.
//!
//! Every number is the engine's; this folder only says it in JSON. Nothing is written, and nobody but
//! the client that started it, or one on this host that knows the token, is served.

mod http;
mod server;
mod text;
mod tools;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueHint};
use rmcp::ServiceExt as _;

use super::analyze::compile;
use super::args::RuleArgs;
use super::console::Console;
use super::failure::Failure;
use super::{Outcome, read_whole, sources};
use server::Server;
use tools::State;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct McpArgs {
    /// Traces, or folders of traces; several are judged as one fleet
    #[arg(required = true, value_name = "TRACE", value_hint = ValueHint::AnyPath)]
    traces: Vec<PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
    /// Serve HTTP at a loopback address instead of standard input and output; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<SocketAddr>,
    /// What HTTP clients must present as a bearer token; without it one is made up and printed
    #[arg(
        long,
        value_name = "TOKEN",
        env = "INGERO_MCP_TOKEN",
        hide_env_values = true,
        requires = "http"
    )]
    token: Option<String>,
}

const HELP: &str = "\
Tools: overview, diagnoses, diagnosis, per_process, timeline, why_not,
rules_list, rule_explain, rule_check, rule_run, sql. Prompt: investigate.
Resources: the rule packs and the report.

Texts out of a trace are marked as data, control characters in them are shown,
and long ones are cut.

Examples:
  ingero mcp trace.db                        # as an assistant starts it
  ingero mcp --http 127.0.0.1:8765 trace.db  # prints address and token";

pub(super) fn run(args: &McpArgs, console: &mut Console) -> Result<Outcome, Failure> {
    if let Some(address) = args.http.filter(|a| !a.ip().is_loopback()) {
        return Err(Failure::NotLoopback { address });
    }
    let state = Arc::new(load(args, console)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| Failure::Serve { source })?;
    runtime.block_on(async {
        match args.http {
            None => stdio(state).await,
            Some(address) => http::serve(state, address, args.token.clone(), console).await,
        }
    })?;
    Ok(Outcome::Fine)
}

fn load(args: &McpArgs, console: &mut Console) -> Result<State, Failure> {
    let files = sources::load(&args.rules.rules)?;
    let rules = compile(&args.rules, console)?;
    if rules.program.rules.is_empty() {
        return Err(Failure::NoRules);
    }
    let (trace, _) = read_whole(&args.traces, None, None, console)?;
    Ok(State::new(trace, rules.program, files))
}

async fn stdio(state: Arc<State>) -> Result<(), Failure> {
    let fail = |e: String| Failure::Serve {
        source: std::io::Error::other(e),
    };
    let service = Server::new(state).serve(rmcp::transport::stdio()).await;
    let service = service.map_err(|e| fail(e.to_string()))?;
    service.waiting().await.map_err(|e| fail(e.to_string()))?;
    Ok(())
}
