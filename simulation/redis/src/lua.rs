//! Runs the crate's scripts with an interpreter of the same Lua version as in Redis.

use std::hash::{Hash, Hasher};
use std::{cell::RefCell, collections::HashMap, collections::hash_map::DefaultHasher, mem};

use mlua::{Error, Function, IntoLua, Lua, MultiValue, Table, Value, Variadic};

use super::*;

/// An interpreter, and the scripts that it has compiled, by their text.
struct Interpreter {
    lua: Lua,
    compiled: HashMap<Vec<u8>, Function>,
}

/// The script that is running, and the server and the time that its commands use.
struct Running {
    server: Server,
    now: u64,
    text: Arc<[u8]>,
    /// The keys that the caller has declared.
    keys: Vec<Vec<u8>>,
}

thread_local! {
    static INTERPRETER: RefCell<Interpreter> = RefCell::new(Interpreter::new());
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// Returns the hash by which `EVALSHA` names a script. Redis uses SHA-1, but nothing depends on
/// that.
pub(super) fn hash(text: &[u8]) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:040x}", hasher.finish()).into_bytes()
}

/// Runs a script: `EVALSHA hash count key … argument …`, or `EVAL` with its text.
pub(super) fn run(server: &mut Server, now: u64, text: Arc<[u8]>, command: &Command) -> Reply {
    let keys: usize = number(&command[2]);
    let (keys, arguments) = command[3..].split_at(keys);
    let (script, declared) = (Arc::clone(&text), keys.to_vec());
    RUNNING.set(Some(Running { server: mem::take(server), now, text, keys: declared }));
    let run = |interpreter: &mut Interpreter| interpreter.run(&script, keys, arguments);
    let result = INTERPRETER.with_borrow_mut(run);
    *server = RUNNING.take().expect("it was set").server;
    result.unwrap_or_else(|error| failure(&error))
}

impl Interpreter {
    fn new() -> Self {
        let lua = Lua::new();
        let commands = lua.create_table().unwrap();
        let set = |table: &Table, name, function: mlua::Result<Function>| {
            table.set(name, function.unwrap()).unwrap();
        };
        let call = lua.create_function(|lua, parts: Variadic<Value>| match execute(&parts)? {
            Reply::Error(text) => Err(Error::runtime(text)),
            reply => to_lua(lua, reply),
        });
        set(&commands, "call", call);
        let pcall = |lua: &Lua, parts: Variadic<Value>| to_lua(lua, execute(&parts)?);
        set(&commands, "pcall", lua.create_function(pcall));
        let permits = |_: &Lua, parts: Variadic<Value>| is_permitted(&parts);
        set(&commands, "acl_check_cmd", lua.create_function(permits));
        let error_reply =
            |lua: &Lua, text: mlua::String| to_lua(lua, Reply::Error(text.to_string_lossy()));
        set(&commands, "error_reply", lua.create_function(error_reply));
        lua.globals().set("redis", commands).unwrap();
        // As in Redis, the error that `pcall` returns is a text.
        let pcall = lua.create_function(|lua, (function, arguments): (Function, MultiValue)| {
            let (has_worked, mut values) = match function.call::<MultiValue>(arguments) {
                Ok(values) => (true, values),
                Err(error) => (false, lua.pack_multi(text(cause(&error)))?),
            };
            values.push_front(Value::Boolean(has_worked));
            Ok(values)
        });
        set(&lua.globals(), "pcall", pcall);
        Self { lua, compiled: HashMap::new() }
    }

    fn run(&mut self, text: &[u8], keys: &[Vec<u8>], arguments: &[Vec<u8>]) -> mlua::Result<Reply> {
        let function = if let Some(function) = self.compiled.get(text) {
            function.clone()
        } else {
            // A first line that begins with `#` is an instruction to Redis.
            let line = text.iter().position(|byte| *byte == b'\n').filter(|_| text[0] == b'#');
            let function = self.lua.load(&text[line.unwrap_or(0)..]).into_function()?;
            self.compiled.insert(text.to_vec(), function.clone());
            function
        };
        for (name, values) in [("KEYS", keys), ("ARGV", arguments)] {
            let values = values.iter().map(|value| self.lua.create_string(value));
            let values = values.collect::<mlua::Result<Vec<_>>>()?;
            self.lua.globals().set(name, self.lua.create_sequence_from(values)?)?;
        }
        let result: MultiValue = function.call(())?;
        from_lua(&result.into_iter().next().unwrap_or(Value::Nil))
    }
}

fn execute(parts: &[Value]) -> mlua::Result<Reply> {
    let command = command(parts)?;
    RUNNING.with_borrow_mut(|running| {
        let Running { server, now, text, keys } = running.as_mut().expect("a script runs");
        let is_declared = !has_key(&command) || keys.contains(&command[1]);
        assert!(is_declared, "a script did not declare the key of {command:?}");
        Ok(refused(server, text, &command).unwrap_or_else(|| server.call(*now, &command)))
    })
}

fn is_permitted(parts: &[Value]) -> mlua::Result<bool> {
    let command = command(parts)?;
    RUNNING.with_borrow(|running| {
        let Running { server, text, .. } = running.as_ref().expect("a script runs");
        Ok(refused(server, text, &command).is_none())
    })
}

fn refused(server: &Server, text: &[u8], command: &Command) -> Option<Reply> {
    server.refusal.and_then(|refusal| refusal.in_script(text, &command[0]))
}

/// Returns whether a script must declare the first argument of a command: some services refuse
/// undeclared keys. The exceptions are commands whose first argument is not a key, and the key
/// `clock`, from which scripts read the time in the differential tests.
fn has_key(command: &Command) -> bool {
    let has_none =
        matches!(&command[0][..], b"TIME" | b"INFO" | b"PUBLISH" | b"SPUBLISH" | b"MEMORY");
    !has_none && command[1] != b"clock"
}

fn command(parts: &[Value]) -> mlua::Result<Command> {
    let parts = parts.iter().map(|part| match part {
        Value::String(text) => Ok(text.as_bytes().to_vec()),
        Value::Integer(integer) => Ok(integer.to_string().into_bytes()),
        Value::Number(number) => {
            assert!(number.fract() == 0.0, "a script passes {number} to Redis");
            Ok(format!("{number:.0}").into_bytes())
        }
        other => Err(Error::runtime(format!("{other:?} is no argument of a command"))),
    });
    parts.collect()
}

fn to_lua(lua: &Lua, reply: Reply) -> mlua::Result<Value> {
    let table = |name, text: &str| -> mlua::Result<Value> {
        let table = lua.create_table()?;
        table.set(name, text)?;
        table.into_lua(lua)
    };
    match reply {
        Reply::Simple(text) => table("ok", text),
        Reply::Error(text) => table("err", &text),
        #[allow(clippy::cast_precision_loss)]
        Reply::Integer(integer) => Ok(Value::Number(integer as f64)),
        Reply::Bulk(bytes) => lua.create_string(bytes)?.into_lua(lua),
        Reply::Nil | Reply::NilArray => Ok(Value::Boolean(false)),
        Reply::Array(replies) | Reply::Push(replies) | Reply::Many(replies) => {
            let values = replies.into_iter().map(|reply| to_lua(lua, reply));
            lua.create_sequence_from(values.collect::<mlua::Result<Vec<_>>>()?)?.into_lua(lua)
        }
    }
}

fn from_lua(value: &Value) -> mlua::Result<Reply> {
    Ok(match value {
        Value::String(text) => Reply::Bulk(text.as_bytes().to_vec()),
        Value::Integer(integer) => Reply::Integer(*integer),
        #[allow(clippy::cast_possible_truncation)]
        Value::Number(number) => Reply::Integer(*number as i64),
        Value::Boolean(true) => Reply::Integer(1),
        Value::Table(table) => from_table(table)?,
        _ => Reply::Nil,
    })
}

/// An array ends before its first `nil`, as in Redis.
fn from_table(table: &Table) -> mlua::Result<Reply> {
    if let Value::String(text) = table.raw_get::<Value>("err")? {
        return Ok(Reply::Error(text.to_string_lossy()));
    }
    let mut replies = Vec::new();
    loop {
        match table.raw_get::<Value>(replies.len() + 1)? {
            Value::Nil => return Ok(Reply::Array(replies)),
            value => replies.push(from_lua(&value)?),
        }
    }
}

/// Returns the reply for a script that has failed: the error of a command keeps its code.
fn failure(error: &Error) -> Reply {
    match cause(error) {
        Error::RuntimeError(text) if text.starts_with(|first: char| first.is_ascii_uppercase()) => {
            Reply::Error(format!("{text} script: it, on @user_script:1."))
        }
        other => Reply::error(&other.to_string().replace(['\r', '\n'], " ")),
    }
}

fn text(error: &Error) -> String {
    match error {
        Error::RuntimeError(text) => text.clone(),
        other => other.to_string(),
    }
}

fn cause(error: &Error) -> &Error {
    match error {
        Error::CallbackError { cause: inner, .. } => cause(inner),
        error => error,
    }
}
