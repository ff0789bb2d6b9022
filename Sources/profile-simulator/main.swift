import Simulator

print("profile-simulator")
