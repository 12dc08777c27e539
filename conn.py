# Your battery: the make of its BMS, its Bluetooth name and its design capacity in Ah
from aiobmsble.bms.jikong_bms import BMS

dev_name = "jk-pak01"  # "" takes the nearest BMS there is, of any make
DESIGN_CAP = 280

# ---- Nothing to change below: link/ finds the BMS, polls it and heals itself.
from link import BmsLink
