//! One connection to a server, however its bytes are packed.

use super::address::Server;
use super::line::Line;
use super::plan::Request;
use super::serial::Serial;
use super::tag::Table;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_modbus::client::{Client as _, Context, tcp};
use tokio_modbus::prelude::SlaveContext;
use tokio_modbus::{ExceptionCode, Request as Question, Response, Slave};

/// What came of one request.
pub(super) enum Answer {
    /// As many registers as were asked for.
    Registers(Vec<u16>),
    /// The server says no.
    Refused(ExceptionCode),
    /// Nothing came in time.
    Silence,
    /// On a line: something came that is no answer.
    Broken(String),
}

/// An open connection.
pub(super) enum Connection {
    /// Answers carry the number of their question.
    Tcp(Context),
    /// They do not.
    Line(Line),
}

impl Connection {
    /// Connects; `Err` says why not.
    pub async fn dial(server: &Server, patience: Duration) -> Result<Self, String> {
        match server {
            Server::Tcp(address) => Ok(Self::Tcp(tcp::attach(connect(address, patience).await?))),
            Server::RtuOverTcp(address) => {
                Ok(Self::Line(Line::behind_gateway(connect(address, patience).await?)))
            }
            Server::Serial(line) => Ok(Self::Line(Line::serial(Serial::open(line)?, line.character()))),
        }
    }

    /// Asks for registers; `Err` is the end of the connection.
    pub async fn ask(&mut self, request: &Request, patience: Duration) -> Result<Answer, String> {
        let context = match self {
            Self::Line(line) => return line.ask(request, patience).await,
            Self::Tcp(context) => context,
        };
        context.set_slave(Slave(request.unit));
        let (address, count) = (request.address, request.count);
        let question = match request.table {
            Table::Holding => Question::ReadHoldingRegisters(address, count),
            Table::Input => Question::ReadInputRegisters(address, count),
        };
        match timeout(patience, context.call(question)).await {
            Err(_) => Ok(Answer::Silence),
            Ok(Ok(Ok(
                Response::ReadHoldingRegisters(registers) | Response::ReadInputRegisters(registers),
            ))) if registers.len() == usize::from(count) => Ok(Answer::Registers(registers)),
            Ok(Ok(Ok(_))) => Err("an answer that does not fit the question".to_owned()),
            Ok(Ok(Err(code))) => Ok(Answer::Refused(code)),
            Ok(Err(error)) => Err(error.to_string()),
        }
    }
}

async fn connect(address: &str, patience: Duration) -> Result<TcpStream, String> {
    let stream = match timeout(patience, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("no connection within {patience:?}")),
    };
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}
