//! Messages on a stream, within bounds: what is too long is skipped, what cannot be read is said, and
//! reading goes on.

use std::io::{self, BufRead, Read as _};

use lsp_server::Message;

/// Bytes of a message. A text of 1 MiB fits, however it is escaped.
const MESSAGE_BYTES: u64 = 8 << 20;
/// Bytes of a header line.
const HEADER_BYTES: u64 = 1 << 10;

/// What was read.
#[derive(Debug)]
pub(super) enum Read {
    Message(Box<Message>),
    /// Not a message; why not.
    Garbage(String),
    /// The stream has ended.
    End,
}

/// Reads the next message.
///
/// # Errors
/// The stream cannot be read.
pub(super) fn read(from: &mut impl BufRead) -> io::Result<Read> {
    let mut length = None;
    loop {
        let mut line = Vec::new();
        let n = from.by_ref().take(HEADER_BYTES).read_until(b'\n', &mut line)?;
        if n == 0 {
            return Ok(Read::End);
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        match (text.split_once(':'), length) {
            (_, Some(length)) if text.is_empty() => return body(from, length),
            (Some((name, value)), _) if name.eq_ignore_ascii_case("content-length") => match value.trim().parse() {
                Ok(n) => length = Some(n),
                Err(_) => return Ok(Read::Garbage(format!("`{text}` is no length"))),
            },
            // Other headers may stand beside it; anything else is skipped up to the next length.
            _ => {}
        }
    }
}

fn body(from: &mut impl BufRead, length: u64) -> io::Result<Read> {
    let mut part = from.take(length);
    if length > MESSAGE_BYTES {
        io::copy(&mut part, &mut io::sink())?;
        return Ok(Read::Garbage(format!(
            "a message of {length} bytes; the limit is {MESSAGE_BYTES}"
        )));
    }
    let mut text = Vec::new();
    part.read_to_end(&mut text)?;
    if part.limit() > 0 {
        return Ok(Read::End);
    }
    Ok(match serde_json::from_slice(&text) {
        Ok(message) => Read::Message(Box::new(message)),
        Err(e) => Read::Garbage(format!("a message that cannot be read: {e}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        loop {
            match read(&mut bytes).unwrap() {
                Read::Message(m) => out.push(match *m {
                    Message::Request(r) => r.method,
                    Message::Notification(n) => n.method,
                    Message::Response(_) => "a response".to_owned(),
                }),
                Read::Garbage(why) => out.push(why),
                Read::End => return out,
            }
        }
    }

    #[test]
    fn reading_goes_on_after_garbage() {
        let body = r#"{"jsonrpc":"2.0","method":"exit"}"#;
        let good = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let text = format!(
            "noise\r\n\r\n{good}Content-Length: x\r\n\r\nContent-Type: a\r\n{good}Content-Length: 5\r\n\r\n{{{{{{{{{{{}{good}{}",
            "z".repeat(5_000) + "\n",
            &good[..good.len() - 2]
        );
        let seen = all(text.as_bytes());
        assert_eq!(seen.len(), 5, "{seen:?}");
        assert_eq!([&seen[0], &seen[2], &seen[4]], ["exit"; 3]);
        assert!(
            seen[1].contains("no length") && seen[3].contains("cannot be read"),
            "{seen:?}"
        );
    }

    #[test]
    fn a_length_alone_takes_no_memory() {
        let text = format!("Content-Length: {}\r\n\r\nshort", u64::MAX);
        assert!(all(text.as_bytes())[0].contains("the limit is"));
    }
}
