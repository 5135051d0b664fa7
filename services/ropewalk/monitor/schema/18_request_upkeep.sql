-- What merges have replaced is removed by the thread that merges: a hundred threads for it cost more memory than time.
ALTER TABLE ropewalk.request MODIFY SETTING concurrent_part_removal_threshold = 1000000
