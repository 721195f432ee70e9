select e.last_name, s.amount from hr.employee e join hr.salary s using (emp_no);
select jit_request('SELECT ON hr.employee, hr.salary', '4 s', 'payroll totals wrong', ticket => 'INC-4711');
