select count(*) from hr.salary;
begin;
declare c cursor for select emp_no from hr.employee;
fetch 1 from c;
select pg_sleep(10) from hr.salary;
rollback;
select count(*) from hr.salary;
begin; savepoint a; do $$ begin loop perform count(*) from hr.salary; end loop; end $$;
