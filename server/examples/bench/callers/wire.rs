//! One kept-alive connection of HTTP/1.1, with one message at a time in each direction.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

/// Room for what one read brings.
const READ: usize = 8192;

pub struct Wire {
    pub stream: TcpStream,
    /// What came and was not taken yet.
    pub received: Vec<u8>,
}

/// Where a message's head ends, and what it says of the rest.
pub struct Head {
    /// Bytes with the empty line.
    pub length: usize,
    /// Bytes that follow; `None` if they come in chunks.
    pub body: Option<usize>,
    /// Whether the sender closes the connection after the message.
    pub closes: bool,
}

impl Wire {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::new(TcpStream::connect(address)?)
    }

    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Writes something that is smaller than a socket's buffer by far: not all of it written is an error.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self.stream.write(message)? {
            written if written == message.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Reads what is there; `false` once the other side has closed, or broken, the connection.
    pub fn receive(&mut self) -> bool {
        loop {
            self.received.reserve(READ);
            let room = self.received.capacity() - self.received.len();
            match rustix::io::read(&self.stream, spare_capacity(&mut self.received)) {
                Ok(0) => return false,
                Ok(read) if read < room => return true,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
    }
}

impl Head {
    /// Reads the head at the start of `bytes`, once it is whole.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut head = Self { length: 0, body: Some(0), closes: false };
        loop {
            let rest = &bytes[head.length..];
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            head.length += end + 1;
            if end <= 1 {
                return Some(head);
            }
            // The names of all headers that count begin so.
            if matches!(rest[0], b'c' | b'C' | b't' | b'T') {
                head.learn(&rest[..end]);
            }
        }
    }

    fn learn(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            self.body = Some(std::str::from_utf8(value).unwrap().parse().unwrap());
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.body = None;
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.closes = value.eq_ignore_ascii_case(b"close");
        }
    }
}
