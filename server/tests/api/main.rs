//! The whole server in this process, asked over real HTTP. Only the machine that runs models is replaced.

mod access;
mod dashboard;
mod doors;
mod management;
mod push;
mod support;
mod uploads;
