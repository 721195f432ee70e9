-- The HR database of the demo, as :database in environment :environment: four
-- tables of role hr_owner, and a developer who may connect and look around
-- (the front door), but read nothing.
CREATE DATABASE :database OWNER hr_owner;
ALTER DATABASE :database SET jit_access.environment = :'environment';
\c :database
CREATE EXTENSION jit_access;
CREATE SCHEMA slack_bot AUTHORIZATION slack_bot;
CREATE SCHEMA hr AUTHORIZATION hr_owner;
GRANT USAGE ON SCHEMA hr TO dev;

SET ROLE hr_owner;
CREATE TABLE hr.department (dept_no text PRIMARY KEY, dept_name text NOT NULL);
INSERT INTO hr.department VALUES ('d1', 'Research'), ('d2', 'Sales'), ('d3', 'Support');
CREATE TABLE hr.employee (emp_no integer PRIMARY KEY, last_name text NOT NULL,
	dept_no text NOT NULL REFERENCES hr.department);
INSERT INTO hr.employee
	SELECT n, 'Employee ' || n, 'd' || n % 3 + 1 FROM generate_series(1001, 1006) n;
CREATE TABLE hr.title (emp_no integer PRIMARY KEY REFERENCES hr.employee, title text NOT NULL);
INSERT INTO hr.title
	SELECT emp_no, (ARRAY['Engineer', 'Analyst', 'Clerk'])[emp_no % 3 + 1] FROM hr.employee;
CREATE TABLE hr.salary (emp_no integer PRIMARY KEY REFERENCES hr.employee, amount integer NOT NULL);
INSERT INTO hr.salary SELECT emp_no, 40000 + emp_no % 7 * 2500 FROM hr.employee;
ANALYZE hr.department, hr.employee, hr.title, hr.salary;
