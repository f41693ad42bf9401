//! CEL over a caller: rule conditions, claim mappings, validation rules. One engine for the whole program: the one that
//! evaluates the CRD's rules.
//!
//! The engine has no evaluation budget, so expressions are bounded before they are accepted: their length, the number
//! of their nodes, the functions they may call (no regular expressions), and macros (`exists`, `map`, …) that may not
//! stand inside each other. What they run over is bounded by the token, 16 KiB.

use kube::core::cel::cel::{
    Context, Program, Value as Cel,
    common::ast::{EntryExpr, Expr, IdedExpr, operators as op},
    objects::{Key, Map as CelMap},
};
use serde_json::{Map, Value};
use std::{collections::HashMap, fmt, sync::Arc};

/// Longest expression, in bytes.
const MAX_LENGTH: usize = 1024;
/// Most nodes of an expression.
const MAX_NODES: usize = 256;

const OPERATORS: [&str; 17] = [
    op::CONDITIONAL,
    op::LOGICAL_AND,
    op::LOGICAL_OR,
    op::LOGICAL_NOT,
    op::SUBSTRACT,
    op::ADD,
    op::MULTIPLY,
    op::DIVIDE,
    op::MODULO,
    op::EQUALS,
    op::NOT_EQUALS,
    op::GREATER_EQUALS,
    op::LESS_EQUALS,
    op::GREATER,
    op::LESS,
    op::NEGATE,
    op::INDEX,
];
const FUNCTIONS: [&str; 9] =
    [op::IN, op::NOT_STRICTLY_FALSE, "size", "contains", "startsWith", "endsWith", "string", "int", "double"];

/// What an expression may speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `claims`: before there is a user.
    Claims,
    /// `user`: once claims are mapped.
    User,
    /// `user`, `issuer` and `claims`: in a rule.
    Rule,
}

impl Scope {
    fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Claims => &["claims"],
            Self::User => &["user"],
            Self::Rule => &["user", "issuer", "claims"],
        }
    }
}

/// A compiled expression.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    program: Arc<Program>,
}

/// An expression that gave no usable value. It refuses a token, and matches no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the expression gave no usable value")]
pub struct EvaluationError;

/// Values by the name of their variable.
pub type Variables<'a> = [(&'static str, &'a Value)];

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// With what is wrong with it, for its author.
    pub fn compile(source: &str, scope: Scope) -> Result<Self, String> {
        if source.trim().is_empty() {
            return Err("is empty".to_owned());
        }
        if source.len() > MAX_LENGTH {
            return Err(format!("is longer than {MAX_LENGTH} bytes"));
        }
        let program = Program::compile(source).map_err(|_| "is not a CEL expression".to_owned())?;
        let mut check = Check { scope, nodes: 0, bound: Vec::new() };
        check.expression(program.expression(), 0)?;
        Ok(Self { source: source.into(), program: Arc::new(program) })
    }

    /// Its text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its value.
    ///
    /// # Errors
    /// Where it fails: a missing field, another type, a variable that is not there.
    pub fn evaluate(&self, variables: &Variables<'_>) -> Result<Value, EvaluationError> {
        let mut context = Context::default();
        for (name, value) in variables {
            context.add_variable_from_value(*name, cel(value));
        }
        let value = self.program.execute(&context).map_err(|_| EvaluationError)?;
        json(&value).ok_or(EvaluationError)
    }

    /// Whether it is true.
    ///
    /// # Errors
    /// Where it fails, or gives anything but a boolean.
    pub fn holds(&self, variables: &Variables<'_>) -> Result<bool, EvaluationError> {
        self.evaluate(variables)?.as_bool().ok_or(EvaluationError)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

/// JSON whole numbers are CEL ints (as in Kubernetes), whatever their sign.
fn cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(n) => n.as_i64().map_or_else(|| Cel::Float(n.as_f64().unwrap_or(f64::NAN)), Cel::Int),
        Value::String(s) => Cel::String(Arc::new(s.clone())),
        Value::Array(list) => Cel::List(Arc::new(list.iter().map(cel).collect())),
        Value::Object(map) => {
            let map: HashMap<Key, Cel> = map.iter().map(|(k, v)| (Key::String(Arc::new(k.clone())), cel(v))).collect();
            Cel::Map(CelMap { map: Arc::new(map) })
        }
    }
}

/// None for what JSON does not have: bytes, times, functions.
fn json(value: &Cel) -> Option<Value> {
    match value {
        Cel::Null => Some(Value::Null),
        Cel::Bool(b) => Some(Value::Bool(*b)),
        Cel::Int(n) => Some(Value::from(*n)),
        Cel::UInt(n) => Some(Value::from(*n)),
        Cel::Float(n) => serde_json::Number::from_f64(*n).map(Value::Number),
        Cel::String(s) => Some(Value::String(s.as_ref().clone())),
        Cel::List(list) => list.iter().map(json).collect::<Option<_>>().map(Value::Array),
        Cel::Map(map) => {
            let entry = |(key, value): (&Key, &Cel)| match key {
                Key::String(key) => Some((key.as_ref().clone(), json(value)?)),
                Key::Int(_) | Key::Uint(_) | Key::Bool(_) => None,
            };
            map.map.iter().map(entry).collect::<Option<_>>().map(Value::Object)
        }
        _ => None,
    }
}

/// Walks the syntax tree of an expression.
struct Check {
    scope: Scope,
    nodes: usize,
    bound: Vec<String>,
}

impl Check {
    fn expression(&mut self, node: &IdedExpr, macros: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("has more than {MAX_NODES} parts"));
        }
        match &node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.expression(&select.operand, macros),
            Expr::List(list) => list.elements.iter().try_for_each(|e| self.expression(e, macros)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.expression(&entry.key, macros)?;
                    self.expression(&entry.value, macros)
                }
                EntryExpr::StructField(_) => Err("may not build objects".to_owned()),
            }),
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                if !OPERATORS.contains(&name) && !FUNCTIONS.contains(&name) {
                    return Err(format!(
                        "may not call {name}; it may call size, contains, startsWith, endsWith, string, int, double"
                    ));
                }
                if let Some(target) = &call.target {
                    self.expression(target, macros)?;
                }
                call.args.iter().try_for_each(|e| self.expression(e, macros))
            }
            Expr::Comprehension(comprehension) => {
                if macros > 0 {
                    return Err("may not have a macro (exists, all, map, filter) inside another".to_owned());
                }
                // What it runs over may be another (`a.filter(…).map(…)`): one after the other, not inside.
                self.expression(&comprehension.iter_range, macros)?;
                let before = self.bound.len();
                self.bound.push(comprehension.iter_var.clone());
                self.bound.extend(comprehension.iter_var2.clone());
                self.bound.push(comprehension.accu_var.clone());
                let parts = [
                    &comprehension.accu_init,
                    &comprehension.loop_cond,
                    &comprehension.loop_step,
                    &comprehension.result,
                ];
                let checked = parts.into_iter().try_for_each(|e| self.expression(e, macros + 1));
                self.bound.truncate(before);
                checked
            }
            Expr::Unspecified | Expr::Struct(_) => Err("may not build objects".to_owned()),
        }
    }

    fn variable(&self, name: &str) -> Result<(), String> {
        let known = self.scope.variables();
        if known.contains(&name) || self.bound.iter().any(|b| b == name) {
            return Ok(());
        }
        Err(format!("speaks of {name}, which is not there; there is {}", known.join(", ")))
    }
}

/// What `user` is to an expression.
pub fn user_variable(
    username: &str,
    groups: impl Iterator<Item = String>,
    uid: Option<&str>,
    extra: &Map<String, Value>,
) -> Value {
    serde_json::json!({
        "username": username,
        "groups": groups.collect::<Vec<_>>(),
        "uid": uid.unwrap_or_default(),
        "extra": extra,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expressions_over_claims() {
        let claims = json!({"sub": "ann", "iat": 100, "exp": 3700, "acr": "mfa", "roles": ["a", "b"], "team": null,
                            "amr": [{"m": "otp"}], "ratio": 0.5});
        for (source, expected) in [
            ("claims.exp - claims.iat <= 3600", Ok(json!(true))),
            ("claims.exp - claims.iat < 3600", Ok(json!(false))),
            ("claims.acr == 'mfa' && 'a' in claims.roles", Ok(json!(true))),
            ("claims.roles.exists(r, r == 'b')", Ok(json!(true))),
            ("claims.roles.map(r, 'x:' + r)", Ok(json!(["x:a", "x:b"]))),
            ("claims.roles.filter(r, r.startsWith('b'))", Ok(json!(["b"]))),
            ("claims.roles.filter(r, r != 'a').map(r, 'x:' + r)", Ok(json!(["x:b"]))),
            ("has(claims.nope) ? claims.nope : 'none'", Ok(json!("none"))),
            ("size(claims.roles)", Ok(json!(2))),
            ("claims['sub']", Ok(json!("ann"))),
            ("claims.team == null", Ok(json!(true))),
            ("claims.ratio < 1.0", Ok(json!(true))),
            ("claims.nope == 'x'", Err(EvaluationError)),
            ("claims.sub + 1", Err(EvaluationError)),
            ("claims.roles[7]", Err(EvaluationError)),
        ] {
            let value = Expression::compile(source, Scope::Claims).unwrap().evaluate(&[("claims", &claims)]);
            assert_eq!(value, expected, "{source}");
        }
    }

    #[test]
    fn only_a_boolean_holds() {
        let claims = json!({"a": "true", "b": true});
        for (source, expected) in [
            ("claims.b", Ok(true)),
            ("!claims.b", Ok(false)),
            ("claims.a", Err(EvaluationError)),
            ("1", Err(EvaluationError)),
            ("claims.c", Err(EvaluationError)),
        ] {
            let holds = Expression::compile(source, Scope::Claims).unwrap().holds(&[("claims", &claims)]);
            assert_eq!(holds, expected, "{source}");
        }
    }

    #[test]
    fn a_variable_that_is_not_there_fails_when_asked() {
        let condition = Expression::compile("claims.acr == 'mfa'", Scope::Rule).unwrap();
        assert_eq!(condition.holds(&[("user", &json!({}))]), Err(EvaluationError));
    }

    #[test]
    fn what_cannot_be_bounded_is_refused() {
        let long = format!("claims.a == '{}'", "x".repeat(1100));
        let wide = format!("claims.a in [{}]", vec!["1"; 300].join(","));
        for (source, scope, expected) in [
            ("", Scope::Claims, "is empty"),
            ("claims.", Scope::Claims, "is not a CEL expression"),
            (long.as_str(), Scope::Claims, "longer than"),
            (wide.as_str(), Scope::Claims, "more than 256 parts"),
            ("claims.sub.matches('(a+)+$')", Scope::Claims, "may not call matches"),
            ("duration('1h') > duration('1m')", Scope::Claims, "may not call duration"),
            ("claims.a.all(x, claims.b.all(y, x == y))", Scope::Claims, "inside another"),
            ("claims.a.map(x, claims.b.map(y, y))", Scope::Claims, "inside another"),
            ("user.username == 'x'", Scope::Claims, "speaks of user"),
            ("claims.sub == 'x'", Scope::User, "speaks of claims"),
            ("env.HOME == 'x'", Scope::Rule, "speaks of env"),
        ] {
            let error = Expression::compile(source, scope).unwrap_err();
            assert!(error.contains(expected), "{source}: {error}");
        }
    }

    #[test]
    fn user_is_as_in_kubernetes() {
        let mut extra = Map::new();
        extra.insert("example.com/team".to_owned(), json!(["shop"]));
        let user = user_variable("ann", ["dev".to_owned()].into_iter(), None, &extra);
        for source in [
            "user.username == 'ann'",
            "'dev' in user.groups",
            "user.uid == ''",
            "user.extra['example.com/team'].exists(t, t == 'shop')",
            "!user.username.startsWith('system:')",
        ] {
            assert_eq!(
                Expression::compile(source, Scope::User).unwrap().holds(&[("user", &user)]),
                Ok(true),
                "{source}"
            );
        }
    }
}
