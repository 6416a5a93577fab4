//! Just enough HTTP/1.1 to load a server with: a request is bytes made beforehand, of an answer only its status and
//! length are read. A whole client would take a good part of the machine that it shares with what is measured.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;

/// The largest answer that is taken: the metrics of ten thousand tenants are a tenth of it.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// What ends the head of an answer.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// The bytes of a request. Of the servers, ingest alone looks at the type of its body.
pub fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Where the server of an `http://` URL listens.
pub fn address(url: &str) -> Result<SocketAddr, Failure> {
    Ok(url.trim_start_matches("http://").parse()?)
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(16 << 10) })
    }

    /// Sends a request and reads its answer, which has to be a success; its body.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<&[u8], Failure> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the server closed a connection that should be kept".into());
            }
            match Answer::read(&self.answer)? {
                Some(Answer { status, head, bytes }) if bytes == self.answer.len() => {
                    return match status {
                        200..300 => Ok(&self.answer[head..]),
                        _ => Err(format!("answered {}", String::from_utf8_lossy(&self.answer)).into()),
                    };
                }
                Some(Answer { bytes, .. }) if bytes > ANSWER_BYTES_MAX || bytes < self.answer.len() => {
                    return Err(format!("an answer of {bytes} bytes is not expected").into());
                }
                Some(_) | None => {}
            }
        }
    }
}

/// What is read of an answer once its head is there.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// Bytes before its body.
    head: usize,
    /// Bytes with its head.
    bytes: usize,
}

impl Answer {
    /// None where the head is not whole yet.
    fn read(received: &[u8]) -> Result<Option<Self>, Failure> {
        let Some(head) = received.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END) else {
            return if received.len() > ANSWER_BYTES_MAX {
                Err("an answer's head has no end".into())
            } else {
                Ok(None)
            };
        };
        let text = std::str::from_utf8(&received[..head])?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status line")?.parse()?;
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .ok_or("an answer without content-length")?
            .1
            .trim()
            .parse::<usize>()?;
        let head = head + HEAD_END.len();
        Ok(Some(Self { status, head, bytes: head + length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_length_says_so() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\n{}";
        assert_eq!(
            Answer::read(answer).unwrap(),
            Some(Answer { status: 200, head: answer.len() - 2, bytes: answer.len() })
        );
        assert_eq!(Answer::read(&answer[..20]).unwrap(), None);
        assert!(Answer::read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn requests_follow_each_other_on_one_connection_until_one_is_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let request = request("POST", "/events/t/e", b"{}");
            let (expected, mut received) = (request.len(), vec![0; request.len()]);
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                for (head, body) in [("200 OK", "first"), ("201 Created", "second"), ("503 No", "full")] {
                    assert_eq!(stream.read_exact(&mut received).await.unwrap(), expected);
                    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    // In two parts, as a network may.
                    let (begin, end) = answer.as_bytes().split_at(answer.len() - 2);
                    stream.write_all(begin).await.unwrap();
                    tokio::task::yield_now().await;
                    stream.write_all(end).await.unwrap();
                }
            };
            let client = async {
                let mut connection = Connection::open(address).await.unwrap();
                assert_eq!(connection.exchange(&request).await.unwrap(), b"first");
                assert_eq!(connection.exchange(&request).await.unwrap(), b"second");
                let refused = connection.exchange(&request).await.unwrap_err().to_string();
                assert!(refused.contains("503") && refused.contains("full"), "{refused}");
            };
            tokio::join!(server, client);
        });
    }
}
