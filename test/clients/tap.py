"""What psycopg2 and psycopg3 have in common: TAP, and what both can say."""
import datetime
import os
import re
import sys
import traceback

dsn = 'dbname=hr_prod host={PGHOST} port={PGPORT}'.format(**os.environ)
# for longer each time, so that it isn't what is pending
asks = 'SELECT jit_request(%s, %s::interval + (clock_timestamp() - pg_postmaster_start_time()), %s)'
hint = r'Send SELECT jit_approve\(\.\.\.\); by itself, without a cursor '


class Tap:
    def __init__(self, driver):
        """driver: a module of DB-API with connect(), whose errors have diag"""
        self.driver, self.tests, self.failed = driver, 0, False
        self.anna = self.connect('anna')
        self.dev = self.connect('dev', autocommit=True)

    def connect(self, user, autocommit=False):
        connection = self.driver.connect(dsn + ' user=' + user)
        connection.autocommit = autocommit
        return connection

    def ask(self, count=1):
        """The numbers of requests of dev, who has no access"""
        self.dev.cursor().execute('SELECT jit_revoke(request) FROM jit.active_grants')
        return [self.value(self.dev, asks, ('SELECT ON hr.salary', '1 hour', 'payroll totals wrong')) for _ in range(count)]

    @staticmethod
    def value(connection, sql, parameters=None):
        cursor = connection.cursor()
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]

    def status(self, request):
        return self.value(self.dev, 'SELECT status FROM jit.my_requests WHERE request = %s', (request,))

    def ok(self, passed, name, *diagnostics):
        self.tests += 1
        self.failed |= not passed
        print('ok' if passed else 'not ok', self.tests, '-', name, flush=True)
        if not passed:
            for line in '\n'.join(map(str, diagnostics)).splitlines():
                print('#', line, file=sys.stderr, flush=True)

    def passes(self, name, code, count=1, autocommit=True, becomes='active'):
        """What code(connection, request, ...) does to requests of dev is done."""
        requests = self.ask(count)
        try:
            self.anna.autocommit = autocommit
            code(self.anna, *requests)
            if not autocommit:
                self.anna.commit()
            found = [self.status(r) for r in requests]
            self.ok(found == [becomes] * count, name, found)
        except Exception:
            self.ok(False, name, traceback.format_exc())
            if not self.anna.closed:
                self.anna.rollback()

    def refused(self, name, code, autocommit=True):
        [request] = self.ask()
        try:
            self.anna.autocommit = autocommit
            code(self.anna, request)
            self.ok(False, name, 'no error')
        except self.driver.Error as e:
            self.ok(e.diag.sqlstate == '42501' and re.match(hint, e.diag.message_hint or '')
                    and self.status(request) == 'pending', name, e, self.status(request))
        self.anna.rollback()

    def sql(self, text):
        """What runs it in one message, with {} for the request's number"""
        return lambda c, *requests: c.cursor().execute(text.format(*requests))

    def common(self):
        self.ok(self.status(*self.ask()) == 'pending', 'jit_request with parameters')
        self.passes('a simple query', self.sql('SELECT jit_approve({})'))
        self.passes('several statements in one message', self.sql('SELECT jit_approve({}); SELECT jit_approve({})'), 2)
        self.passes('... with BEGIN and COMMIT', self.sql('BEGIN; SELECT jit_approve({}); COMMIT'))
        self.passes('from a function in FROM', self.sql('SELECT * FROM jit_approve({})'))
        self.passes('bulk approval', self.sql('SELECT request, jit_approve(request) FROM jit.inbox'), 3)
        self.passes('a transaction', self.sql('SELECT jit_approve({})'), autocommit=False)

        def in_savepoint(c, n):
            c.cursor().execute('SAVEPOINT s')
            c.cursor().execute('SELECT jit_approve(%s)', (n,))
            c.cursor().execute('RELEASE s')
        self.passes('a savepoint', in_savepoint, autocommit=False)

        def rejects(c, n):
            c.cursor().execute('SELECT jit_reject(%s, %s)', (n, 'not today'))
        self.passes('jit_reject', rejects, becomes='rejected')

        def revokes(c, n):
            c.cursor().execute('SELECT jit_approve(%s)', (n,))
            c.cursor().execute('SELECT jit_revoke(%s, %s)', (n, 'found it'))
        self.passes('jit_revoke', revokes, becomes='revoked')

        self.anna.autocommit = True
        hours = datetime.timedelta(hours=2)
        for how, until in ('now() + %s', hours), ('%s', datetime.datetime.now(datetime.timezone.utc) + hours):
            self.ask(0)
            n = self.value(self.anna, 'SELECT jit_grant(%s, %s, until => ' + how + ', reason => %s)',
                           ('SELECT ON hr.salary', 'dev', until, 'on call'))
            self.ok(self.status(n) == 'active', 'jit_grant until ' + how, self.status(n))

        self.refused('DECLARE', self.sql('DECLARE c CURSOR FOR SELECT jit_approve({}); FETCH c'), autocommit=False)
        self.refused('PREPARE and EXECUTE', self.sql('PREPARE p AS SELECT jit_approve({}); EXECUTE p'))
        self.refused('DO', self.sql('DO $$ BEGIN PERFORM jit_approve({}); END $$'))
        self.refused("dev's function", self.sql('SELECT dev.outcome({})'))
        self.refused("dev's function, inlined", self.sql('SELECT dev.inlined({})'))
        self.refused("dev's view", self.sql('SELECT outcome FROM dev.report WHERE request = {}'))

    def denial(self, connection, sql):
        """What diag says of the error that it gets"""
        try:
            self.value(connection, sql)
        except self.driver.Error as e:
            return e.diag
        return None

    def story(self, listen, payloads):
        """From the denial to the end, on one connection of dev's; payloads(connection) are the notifications that came."""
        dev, salary, hint = self.connect('dev', True), 'SELECT count(*) FROM hr.salary', "SELECT jit_request('SELECT ON hr.salary'"
        for sql in ('SELECT jit_revoke(request) FROM jit.active_grants',
                    "SELECT jit_cancel(request) FROM jit.my_requests WHERE status = 'pending'"):
            dev.cursor().execute(sql)
        listen(dev)
        pid = self.value(dev, 'SELECT pg_backend_pid()')
        d = self.denial(dev, salary)
        self.ok(d and d.sqlstate == '42501' and hint in (d.message_hint or ''), 'a denial, with its hint', d and d.message_primary)
        n = self.value(dev, 'SELECT jit_request(%s, %s::interval, %s)', ('SELECT ON hr.salary', '3 s', 'payroll totals wrong'))
        self.anna.autocommit = True
        self.anna.cursor().execute('SELECT jit_approve(%s)', (n,))
        self.ok(self.value(dev, salary) == 100, 'access')
        d = self.denial(dev, 'SELECT count(pg_sleep(60)) FROM hr.salary')
        self.ok(d and d.sqlstate == '57014' and ('Request %d in hr_prod expired' % n) in (d.message_detail or '') and 'SELECT jit_extend(%d)' % n in (d.message_hint or ''),
                'a cut-off, with its hint', d and d.message_primary)
        self.ok(self.value(dev, 'SELECT pg_backend_pid()') == pid, 'the connection lives on')
        d = self.denial(dev, salary)
        self.ok(d and d.sqlstate == '42501', 'a denial')
        came = payloads(dev)
        self.ok(any('activated' in p and re.search(r'\b%d\b' % n, p) for p in came), 'the notification came', came)

    def done(self):
        print('1..%d' % self.tests)
        sys.exit(self.failed)
