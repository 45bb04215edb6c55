//! `ingero rules lsp`: the language server, on standard input and output.
//!
//! A thread reads messages; this one answers them in order. What changes while a text is being checked
//! is checked once, at the end.

mod complete;
mod describe;
mod document;
mod links;
mod server;
mod wire;

use std::io;
use std::sync::mpsc::{TryRecvError, sync_channel};
use std::thread;

use super::Outcome;
use super::failure::Failure;
use server::Server;
use wire::Read;

/// Messages that may wait; then the editor has to.
const WAITING: usize = 64;

pub(super) fn run() -> Result<Outcome, Failure> {
    let (sender, receiver) = sync_channel(WAITING);
    // It ends with the process: a read of standard input cannot be interrupted.
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let read = wire::read(&mut stdin).unwrap_or(Read::End);
            let ended = matches!(read, Read::End);
            if sender.send(read).is_err() || ended {
                return;
            }
        }
    });
    let mut server = Server::new();
    loop {
        let read = match receiver.try_recv() {
            Ok(read) => read,
            Err(TryRecvError::Disconnected) => return Ok(Outcome::Found),
            Err(TryRecvError::Empty) => {
                server.settle();
                send(&mut server)?;
                receiver.recv().unwrap_or(Read::End)
            }
        };
        match read {
            Read::Message(message) => {
                if let Some(clean) = server.handle(*message) {
                    return Ok(if clean { Outcome::Fine } else { Outcome::Found });
                }
            }
            Read::Garbage(why) => server.log(format!("skipped {why}")),
            // An editor that goes without a word has died.
            Read::End => return Ok(Outcome::Found),
        }
        send(&mut server)?;
    }
}

fn send(server: &mut Server) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    for message in server.sent() {
        message.write(&mut stdout).map_err(|source| Failure::Print { source })?;
    }
    Ok(())
}
