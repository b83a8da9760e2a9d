//! Memory for what is on its way: taken when a request begins, given back when it ends, so that idle connections hold none.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

/// Bytes of one buffer.
pub(crate) const SIZE: usize = 16 << 10;
/// Buffers that one thread keeps for the next requests.
const KEPT: usize = 256;

/// One thread's spare buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    spare: RefCell<Vec<Vec<u8>>>,
}

/// Bytes that were read or are to be written; what was consumed is not shown any more.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    from: usize,
    home: Rc<Buffers>,
}

impl Buffers {
    /// A buffer, which holds no memory until there is something to put into it.
    pub fn take(self: &Rc<Self>) -> Buffer {
        Buffer { bytes: Vec::new(), from: 0, home: self.clone() }
    }

    /// A buffer of these bytes.
    pub fn filled(self: &Rc<Self>, bytes: Vec<u8>) -> Buffer {
        Buffer { bytes, from: 0, home: self.clone() }
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if bytes.capacity() == SIZE && spare.len() < KEPT {
            bytes.clear();
            spare.push(bytes);
        }
    }
}

impl Buffer {
    /// Where further bytes go; those that were consumed make room first.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        if self.from > 0 {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        if self.bytes.capacity() == 0 {
            let spare = self.home.spare.borrow_mut().pop();
            self.bytes = spare.unwrap_or_else(|| Vec::with_capacity(SIZE));
        }
        &mut self.bytes
    }

    /// Where further bytes go, with room for some at least, and for a whole buffer if there was none.
    pub fn room(&mut self) -> &mut Vec<u8> {
        let tail = self.tail();
        if tail.len() == tail.capacity() {
            tail.reserve(SIZE);
        }
        tail
    }

    pub fn consume(&mut self, count: usize) {
        self.from = (self.from + count).min(self.bytes.len());
        if self.from == self.bytes.len() {
            self.clear();
        }
    }

    /// Gives its memory back, with whatever is in it.
    pub fn release(&mut self) {
        self.from = 0;
        self.home.give_back(std::mem::take(&mut self.bytes));
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.from = 0;
    }

    /// Keeps only the memory that its bytes need: a request that waits may wait for long, beside thousands.
    pub fn tighten(&mut self) {
        if self.is_empty() {
            self.release();
        } else if self.bytes.capacity() > self.len() + 1024 {
            let tight = self.to_vec();
            self.from = 0;
            self.home.give_back(std::mem::replace(&mut self.bytes, tight));
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_consumed_is_gone_and_memory_comes_back() {
        let buffers = Rc::new(Buffers::default());
        let mut buffer = buffers.take();
        buffer.tail().extend(b"head and body");
        buffer.consume(5);
        assert_eq!(&*buffer, b"and body");
        buffer.tail().extend(b"!");
        assert_eq!(&*buffer, b"and body!");
        drop(buffer);
        assert_eq!(buffers.spare.borrow().len(), 1);
        let mut again = buffers.take();
        assert!(again.tail().is_empty() && buffers.spare.borrow().is_empty());
    }

    #[test]
    fn who_waits_holds_what_it_needs() {
        let buffers = Rc::new(Buffers::default());
        let mut buffer = buffers.take();
        buffer.tail().extend(b"consumed, kept");
        buffer.consume(10);
        buffer.tighten();
        assert_eq!(&*buffer, b"kept");
        assert!(buffer.bytes.capacity() < 64);
        assert_eq!(buffers.spare.borrow().len(), 1);
    }
}
