//! A database folder before and after load: SQLite, by its own command line tool, from seeded SQL. Rows are equal
//! everywhere; the file is the tool's own work, so there is no digest that holds everywhere.

use super::Watch;
use super::generate::random::{Random, vocabulary};
use super::recipe::Database;
use super::tool::Tool;
use super::tree::Version;
use crate::harness::error::BenchError;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// The database's name in its folder.
const FILE: &str = "orders.sqlite";
/// Rows an insert.
const BATCH: u64 = 200;
/// Orders a customer.
const ORDERS: u64 = 10;

const SCHEMA: &str = "\
PRAGMA page_size = 4096;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, mail TEXT, city TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, time INTEGER, state TEXT, total REAL, note TEXT);
CREATE INDEX orders_of_customer ON orders (customer);
CREATE INDEX customers_by_mail ON customers (mail);
";

/// Fills `out`; the second version begins with a copy of the first.
pub fn fill(
    database: &Database,
    first: Option<&Path>,
    out: &Path,
    work: &Path,
    watch: &Watch<'_>,
) -> Result<(), BenchError> {
    let mut sqlite = Tool::new("sqlite3", "sqlite3", "an SQLite database")?;
    fs::create_dir(out).map_err(BenchError::io("make", out))?;
    let (script, path) = (work.join("sql"), out.join(FILE));
    let file = File::create(&script).map_err(BenchError::io("make", &script))?;
    let mut sql = Sql { out: BufWriter::new(file), random: Random(database.seed), words: vec![] };
    sql.words = vocabulary(&mut sql.random, 3000);
    let version = match first {
        None => Version::First,
        Some(first) => {
            fs::copy(first.join(FILE), &path).map_err(BenchError::io("copy", first))?;
            sql.random = Random(!database.seed);
            Version::Second
        }
    };
    let written = match version {
        Version::First => sql.build(database),
        Version::Second => sql.load(database),
    };
    written.and_then(|()| sql.out.flush()).map_err(BenchError::io("write", &script))?;
    watch.poll()?;
    let script = File::open(&script).map_err(BenchError::io("read", &script))?;
    // Nobody's own settings change what is made.
    sqlite.args(["-batch", "-bail", "-init", "/dev/null"]).arg(&path).stdin(script).must(watch).map(drop)
}

struct Sql {
    out: BufWriter<File>,
    random: Random,
    words: Vec<String>,
}

impl Sql {
    fn build(&mut self, database: &Database) -> io::Result<()> {
        write!(self.out, "{SCHEMA}BEGIN;")?;
        let customers = (database.rows / ORDERS).max(1);
        self.rows("customers", 1, customers, |sql, id| {
            let (name, city) = (sql.words(2), sql.words(1));
            format!("{id},'{name}','{}{id}@example.com','{city}'", name.replace(' ', "."))
        })?;
        self.orders(1, database.rows, customers)?;
        writeln!(self.out, "COMMIT;")
    }

    /// Half of the changes insert, a quarter each updates and deletes, all over the table.
    fn load(&mut self, database: &Database) -> io::Result<()> {
        writeln!(self.out, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;")?;
        let customers = (database.rows / ORDERS).max(1);
        for _ in 0..database.load / 4 {
            let (id, other) = (1 + self.random.below(database.rows), 1 + self.random.below(database.rows));
            let note = self.words(9);
            writeln!(self.out, "UPDATE orders SET state = 'paid', note = '{note}' WHERE id = {id};")?;
            writeln!(self.out, "DELETE FROM orders WHERE id = {other};")?;
        }
        self.orders(database.rows + 1, database.load / 2, customers)?;
        writeln!(self.out, "COMMIT;")
    }

    fn orders(&mut self, from: u64, rows: u64, customers: u64) -> io::Result<()> {
        self.rows("orders", from, rows, |sql, id| {
            let customer = 1 + sql.random.skewed(customers);
            let state = ["new", "paid", "sent", "returned"][sql.random.skewed(4) as usize];
            let (time, cents) = (1_600_000_000 + id * 37 + sql.random.below(30), sql.random.skewed(100_000));
            let words = 1 + sql.random.skewed(24);
            format!("{id},{customer},{time},'{state}',{}.{:02},'{}'", cents / 100, cents % 100, sql.words(words))
        })
    }

    fn rows(&mut self, table: &str, from: u64, rows: u64, row: impl Fn(&mut Sql, u64) -> String) -> io::Result<()> {
        for i in 0..rows {
            let values = row(self, from + i);
            let before = if i % BATCH == 0 { format!("INSERT INTO {table} VALUES\n") } else { ",\n".into() };
            write!(self.out, "{before}({values})")?;
            if i % BATCH == BATCH - 1 || i + 1 == rows {
                writeln!(self.out, ";")?;
            }
        }
        Ok(())
    }

    fn words(&mut self, n: u64) -> String {
        let mut text = String::new();
        for i in 0..n {
            text += if i == 0 { "" } else { " " };
            text += &self.words[self.random.skewed(self.words.len() as u64) as usize];
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_whole_before_and_after_load_and_the_same_each_time() {
        if !crate::lacks::has_tools(&["sqlite3"]) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let database = Database { seed: 1, rows: 1000, load: 100 };
        let make = |name: &str, first: Option<&Path>| {
            let out = folder.path().join(name);
            fill(&database, first, &out, folder.path(), &Watch::default()).unwrap();
            out
        };
        let first = make("a", None);
        let second = make("b", Some(&first));
        let (again, then) = (make("c", None), make("d", Some(&first)));
        let bytes = |folder: &Path| fs::read(folder.join(FILE)).unwrap();
        assert!(bytes(&first) == bytes(&again) && bytes(&second) == bytes(&then));
        let ask = |folder: &Path, sql: &str| {
            let asked = std::process::Command::new("sqlite3").arg(folder.join(FILE)).arg(sql).output().unwrap();
            String::from_utf8(asked.stdout).unwrap().trim().to_string()
        };
        for version in [&first, &second] {
            assert_eq!(ask(version, "PRAGMA integrity_check"), "ok");
        }
        assert_eq!(ask(&first, "SELECT count(*) FROM orders"), "1000");
        // 25 rows are drawn for deletion, 50 are new.
        let rows: u64 = ask(&second, "SELECT count(*) FROM orders").parse().unwrap();
        assert!((1025..=1030).contains(&rows), "{rows}");
        assert_eq!(ask(&second, "SELECT max(id) FROM orders"), "1050");
    }
}
