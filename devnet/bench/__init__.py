"""What Qiong costs on this machine, measured: the work behind `qiong bench`.

contracts    a call of the library, from the batch to the parsed outcomes
calibration  processor time per gas of everything a contract can do
gas_rows     the programs that calibration runs
"""
