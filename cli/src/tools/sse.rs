//! Server-sent events, read (WHATWG HTML §9.2, as much of it as the recorder writes).

use futures::StreamExt;
use reqwest::Response;

use crate::exit::Error;

/// The longest event: a result of the largest output, as JSON.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// Gives the data of each event to `take` until the stream ends.
pub async fn read(response: Response, mut take: impl FnMut(&str) -> Result<(), Error>) -> Result<(), Error> {
    let mut events = Events::default();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk
            .map_err(|error| Error::unavailable(format!("the stream broke off: {}", jobico_service::chain(&error))))?;
        for data in events.push(&chunk)? {
            take(&data)?;
        }
    }
    Ok(())
}

/// Bytes into events.
#[derive(Debug, Default)]
struct Events {
    pending: Vec<u8>,
    data: String,
}

impl Events {
    fn push(&mut self, chunk: &[u8]) -> Result<Vec<String>, Error> {
        self.pending.extend_from_slice(chunk);
        if self.pending.len() + self.data.len() > EVENT_BYTES_MAX {
            return Err(Error::failed("the stream holds an event that is too large"));
        }
        let mut done = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                if !self.data.is_empty() {
                    done.push(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = line.strip_prefix("data:") {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_from_whatever_pieces_arrive() {
        let mut events = Events::default();
        assert_eq!(events.push(b": hello\n\nevent: result\nda").unwrap(), Vec::<String>::new());
        assert_eq!(events.push(b"ta: {\"a\":\ndata: 1}\r\n\r\ndata:x\n\n").unwrap(), ["{\"a\":\n1}", "x"]);
    }
}
