//! A raw MCP client: one POST per message, both protocol eras, and anything that is not MCP.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::{client::legacy::Client, client::legacy::connect::HttpConnector, rt::TokioExecutor};
use serde_json::{Value, json};
use std::time::Duration;

/// Which MCP revision a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2025-11-25: `initialize`, two accepted content types.
    Legacy,
    /// 2026-07-28: stateless, headers that repeat the body.
    Modern,
}

pub const BOTH: [Era; 2] = [Era::Legacy, Era::Modern];

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    /// The body, or the data of the one event where it is a stream of events.
    pub fn json(&self) -> Value {
        let text = self.body.lines().filter_map(|line| line.strip_prefix("data: ")).find(|data| !data.is_empty());
        let text = text.unwrap_or(&self.body);
        serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

/// How a tool call ended, for the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// It answered.
    Ok(String),
    /// A tool result that is an error.
    Error(String),
    /// A JSON-RPC error, or none at all: code and message.
    Refused(i64, String),
}

impl Called {
    /// The text, whichever it is.
    pub fn text(&self) -> &str {
        match self {
            Self::Ok(text) | Self::Error(text) | Self::Refused(_, text) => text,
        }
    }

    #[track_caller]
    pub fn ok(self) -> String {
        match self {
            Self::Ok(text) => text,
            other => panic!("expected an answer, got {other:?}"),
        }
    }

    #[track_caller]
    pub fn error(self) -> String {
        match self {
            Self::Error(text) => text,
            other => panic!("expected an error, got {other:?}"),
        }
    }
}

/// A client with a token, at one URL.
#[derive(Clone)]
pub struct Agent {
    http: Client<HttpConnector, Full<Bytes>>,
    pub url: String,
    pub token: String,
    pub era: Era,
}

/// A client for what is no agent: probes, and requests that are wrong on purpose.
pub fn http() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Sends any request.
pub async fn send(http: &Client<HttpConnector, Full<Bytes>>, request: Request<Full<Bytes>>) -> Reply {
    let answer = async {
        let (parts, body) = http.request(request).await.unwrap().into_parts();
        (parts, body.collect().await.unwrap().to_bytes())
    };
    let (parts, body) = tokio::time::timeout(Duration::from_mins(1), answer).await.expect("no answer in a minute");
    Reply { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&body).into_owned() }
}

/// GETs a page.
pub async fn get(url: &str) -> Reply {
    send(&http(), Request::get(url).body(Full::default()).unwrap()).await
}

impl Agent {
    pub fn new(url: String, token: &str) -> Self {
        Self { http: http(), url, token: token.to_owned(), era: Era::Legacy }
    }

    pub fn speaking(&self, era: Era) -> Self {
        Self { era, ..self.clone() }
    }

    /// A POST with the headers of the era; `more` are put in place of those of the same name, an empty one removes.
    pub async fn post(&self, body: String, more: &[(&str, &str)]) -> Reply {
        let mut headers = HeaderMap::new();
        let mut set = |name: &str, value: &str| {
            let name: HeaderName = name.parse().unwrap();
            if value.is_empty() {
                headers.remove(name);
            } else {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        };
        set("content-type", "application/json");
        set("accept", "application/json, text/event-stream");
        set("authorization", &format!("Bearer {}", self.token));
        for (name, value) in more {
            set(name, value);
        }
        let mut request = Request::builder().method(Method::POST).uri(&self.url).body(Full::from(body)).unwrap();
        *request.headers_mut() = headers;
        send(&self.http, request).await
    }

    /// One JSON-RPC request.
    pub async fn rpc(&self, method: &str, mut params: Value) -> Reply {
        let mut headers: Vec<(&str, String)> = Vec::new();
        if self.era == Era::Modern {
            headers.push(("mcp-protocol-version", "2026-07-28".to_owned()));
            headers.push(("mcp-method", method.to_owned()));
            headers.extend(params["name"].as_str().map(|name| ("mcp-name", name.to_owned())));
            for (argument, header) in [("cluster", "mcp-param-cluster"), ("namespace", "mcp-param-namespace")] {
                headers.extend(params["arguments"][argument].as_str().map(|value| (header, value.to_owned())));
            }
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "it", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        } else if method != "initialize" {
            headers.push(("mcp-protocol-version", "2025-11-25".to_owned()));
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.post(body, &headers).await
    }

    /// Names of the tools that are listed.
    pub async fn tools(&self) -> Vec<String> {
        let reply = self.rpc("tools/list", json!({})).await;
        let answer = reply.json();
        let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("no tools: {reply:?}"));
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> Called {
        let reply = self.rpc("tools/call", json!({"name": tool, "arguments": arguments})).await;
        if !reply.body.contains("jsonrpc") {
            return Called::Refused(i64::from(reply.status.as_u16()), reply.body);
        }
        let answer = reply.json();
        if let Some(error) = answer.get("error") {
            return Called::Refused(error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned());
        }
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        if answer["result"]["isError"] == true { Called::Error(text) } else { Called::Ok(text) }
    }
}
