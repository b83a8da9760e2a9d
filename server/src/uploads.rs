mod chunked;
mod receive;
mod signature;
mod xml;
